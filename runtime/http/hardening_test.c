/* hardening_test.c - heads and bodies that two programs could read in two ways, on raw sockets: what is answered, and
 * whether the connection ends. docs/serving.md has the same table; spec/http_hardening_spec.lua compares. */
#include "base/testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/service.h"

typedef enum outcome { CLOSED, KEPT } outcome;

typedef struct hard_case {
  const char *name;
  const char *bytes;
  size_t size;
  int status; /* of the first answer */
  outcome outcome;
} hard_case;

#define CASE(name, bytes, status, outcome) {name, bytes, sizeof bytes - 1, status, outcome}
#define HOST "Host: h\r\n"
#define POST "POST /p HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define NEXT "GET /smuggled HTTP/1.1\r\n" HOST "\r\n" /* what is never to be answered behind a refusal */

/* "{N}" stands for N letters x, "{lines N}" for N header fields. */
static const hard_case cases[] = {
    /* what is well */
    CASE("plain GET", "GET /a?b=c HTTP/1.1\r\n" HOST "\r\n", 200, KEPT),
    CASE("plain POST", POST "Content-Length: 3\r\n\r\nxxx", 200, KEPT),
    CASE("POST without a body", POST "\r\n", 200, KEPT),
    CASE("POST with length 0", POST "Content-Length: 0\r\n\r\n", 200, KEPT),
    CASE("leading zeros in the length", POST "Content-Length: 0003\r\n\r\nxxx", 200, KEPT),
    CASE("blanks around a value", "GET / HTTP/1.1\r\nHost: \t h\r\nX: \t y \t\r\n\r\n", 200, KEPT),
    CASE("a field without a value", "GET / HTTP/1.1\r\n" HOST "X:\r\n\r\n", 200, KEPT),
    CASE("bytes above 127 in a value", "GET / HTTP/1.1\r\n" HOST "X: \xc3\xa9\r\n\r\n", 200, KEPT),
    CASE("an empty line before the request", "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 200, KEPT),
    CASE("HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", 200, CLOSED),
    CASE("chunked", CHUNKED "3\r\nxxx\r\n0\r\n\r\n", 200, CLOSED),
    CASE("chunked, upper case", POST "Transfer-Encoding: CHUNKED\r\n\r\n3\r\nxxx\r\n0\r\n\r\n", 200, CLOSED),
    CASE("chunked with an extension", CHUNKED "3;a=b\r\nxxx\r\n0\r\n\r\n", 200, CLOSED),
    CASE("chunked with a trailer", CHUNKED "3\r\nxxx\r\n0\r\nX: y\r\n\r\n", 200, CLOSED),
    CASE("Connection: close", "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", 200, CLOSED),
    CASE("a wish to upgrade", "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 200, KEPT),
    CASE("blanks and percents in a query", "GET /?a=%20b+c&d=%25%32 HTTP/1.1\r\n" HOST "\r\n", 200, KEPT),
    CASE("an encoded blank in a path", "GET /a%20b HTTP/1.1\r\n" HOST "\r\n", 200, KEPT),
    CASE("100 header fields", "GET / HTTP/1.1\r\n" HOST "{lines 99}\r\n", 200, KEPT),
    CASE("a field of 8,192 bytes", "GET / HTTP/1.1\r\n" HOST "X: {8191}\r\n\r\n", 200, KEPT),
    /* what the library hides */
    CASE("a zero byte and LF behind a field", "GET / HTTP/1.1\r\n" HOST "X: a\0\n\r\n", 200, KEPT),
    CASE("a zero byte and LF as the empty line", "GET / HTTP/1.1\r\n" HOST "\0\n", 200, KEPT),
    CASE("a colon and LF as the empty line", "GET / HTTP/1.1\r\n" HOST ":\n", 200, KEPT),
    CASE("a zero byte begins a line before the request", "\0X\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 200, KEPT),
    CASE("bare LF before the request", "\nGET / HTTP/1.1\r\n" HOST "\r\n", 200, KEPT),
    CASE("bare LF behind a chunk size", CHUNKED "3\nxxx\r\n0\r\n\r\n" NEXT, 200, CLOSED),
    CASE("bare LF behind a chunk", CHUNKED "3\r\nxxx\n0\r\n\r\n" NEXT, 200, CLOSED),
    CASE("bare LF behind the last chunk", CHUNKED "3\r\nxxx\r\n0\n\n" NEXT, 200, CLOSED),
    CASE("a folded trailer", CHUNKED "3\r\nxxx\r\n0\r\nX: y\r\n z\r\n\r\n" NEXT, 200, CLOSED),
    /* lines */
    CASE("bare LF behind the request line", "GET / HTTP/1.1\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("bare LF behind a field", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n" NEXT, 400, CLOSED),
    CASE("bare LF behind the last field", "GET / HTTP/1.1\r\nX: y\r\nHost: h\n\r\n" NEXT, 400, CLOSED),
    CASE("bare LF as the empty line", "GET / HTTP/1.1\r\n" HOST "\n" NEXT, 400, CLOSED),
    CASE("bare LF everywhere", "GET / HTTP/1.1\nHost: h\n\n" NEXT, 400, CLOSED),
    CASE("bare LF, made up for by a blank", "GET / HTTP/1.1\r\nHost: h\nX:  y\r\n\r\n" NEXT, 400, CLOSED),
    CASE("bare CR in a value", "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n" NEXT, 400, CLOSED),
    CASE("bare CR behind a field", "GET / HTTP/1.1\r\n" HOST "X: a\rContent-Length: 5\r\n\r\n" NEXT, 400, CLOSED),
    CASE("CR CR LF", "GET / HTTP/1.1\r\n" HOST "X: a\r\r\n\r\n" NEXT, 400, CLOSED),
    CASE("bare CR behind the request line", "GET / HTTP/1.1\r" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("a folded value", "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a folded value, by a tab", "GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a name made by folding", POST "Content: 40\r\n -Length\r\n\r\n" NEXT, 400, CLOSED),
    CASE("an empty folded line", "GET / HTTP/1.1\r\n" HOST "X: a\r\n \r\n\r\n" NEXT, 400, CLOSED),
    CASE("a blank before the first field", "GET / HTTP/1.1\r\n Host: h\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a zero byte in a value", "GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a zero byte at the end of a value", "GET / HTTP/1.1\r\n" HOST "X: a\0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a zero byte in a name", "GET / HTTP/1.1\r\n" HOST "X\0Y: a\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a zero byte in the target", "GET /a\0b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("a zero byte in the method", "GE\0T / HTTP/1.1\r\n" HOST "\r\n" NEXT, 501, CLOSED),
    CASE("a line that begins with a zero byte", "GET / HTTP/1.1\r\n" HOST "\0X: a\r\n\r\n" NEXT, 400, CLOSED),
    CASE("bare LF, made up for by a zero byte", "GET / HTTP/1.1\r\n" HOST "X: a\n\0x\n" NEXT, 400, CLOSED),
    CASE("the same behind the request line", "GET / HTTP/1.0\n\0x\n" NEXT, 400, CLOSED),
    CASE("a control character in a value", "GET / HTTP/1.1\r\n" HOST "X: a\001b\r\n\r\n" NEXT, 400, CLOSED),
    CASE("DEL in a value", "GET / HTTP/1.1\r\n" HOST "X: a\177b\r\n\r\n" NEXT, 400, CLOSED),
    /* names */
    CASE("a blank before the colon", "GET / HTTP/1.1\r\n" HOST "X : y\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a blank before the colon of the length", POST "Content-Length : 40\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a tab before the colon", "GET / HTTP/1.1\r\n" HOST "X\t: y\r\n\r\n" NEXT, 400, CLOSED),
    CASE("an empty name", "GET / HTTP/1.1\r\n" HOST ": y\r\n\r\n" NEXT, 400, CLOSED),
    CASE("no colon", "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a name that is no word", "GET / HTTP/1.1\r\n" HOST "X(Y): z\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a name with bytes above 127", "GET / HTTP/1.1\r\n" HOST "X\xc3\xa9: z\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a name with a control character", "GET / HTTP/1.1\r\n" HOST "X\001: z\r\n\r\n" NEXT, 400, CLOSED),
    /* lengths */
    CASE("two lengths, different", POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nxxx" NEXT, 400, CLOSED),
    CASE("two lengths, equal", POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nxxx" NEXT, 400, CLOSED),
    CASE("a list of lengths", POST "Content-Length: 3, 3\r\n\r\nxxx" NEXT, 400, CLOSED),
    CASE("an empty length", POST "Content-Length:\r\n\r\nxxx" NEXT, 400, CLOSED),
    CASE("a blank length", POST "Content-Length:   \r\n\r\nxxx" NEXT, 400, CLOSED),
    CASE("a length with +", POST "Content-Length: +3\r\n\r\nxxx" NEXT, 400, CLOSED),
    CASE("a length with -", POST "Content-Length: -3\r\n\r\nxxx" NEXT, 400, CLOSED),
    CASE("a hexadecimal length", POST "Content-Length: 0x3\r\n\r\nxxx" NEXT, 400, CLOSED),
    CASE("a length with _", POST "Content-Length: 1_0\r\n\r\nxxx" NEXT, 400, CLOSED),
    CASE("a length with a fraction", POST "Content-Length: 3.0\r\n\r\nxxx" NEXT, 400, CLOSED),
    CASE("a length with a blank inside", POST "Content-Length: 1 0\r\n\r\nxxx" NEXT, 400, CLOSED),
    CASE("a length with a blank behind", POST "Content-Length: 3 \r\n\r\nxxx" NEXT, 400, CLOSED),
    CASE("a length beyond 64 bits", POST "Content-Length: 18446744073709551619\r\n\r\nxxx" NEXT, 413, CLOSED),
    CASE("a length beyond signed 64 bits", POST "Content-Length: 9223372036854775811\r\n\r\nxxx" NEXT, 413, CLOSED),
    CASE("a length over the limit", POST "Content-Length: 1048577\r\n\r\nxxx" NEXT, 413, CLOSED),
    CASE("GET with a body", "GET / HTTP/1.1\r\n" HOST "Content-Length: 36\r\n\r\n" NEXT, 400, CLOSED),
    CASE("HEAD with a chunked body", "HEAD / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, CLOSED),
    /* encodings */
    CASE("length and encoding", POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("encoding and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("two encodings, equal", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("two encodings, different", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("an encoding behind a comma", POST "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("chunked twice", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("chunked not last", POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("gzip, then chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("an unknown encoding", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" NEXT, 501, CLOSED),
    CASE("identity as an encoding", POST "Transfer-Encoding: identity\r\n\r\n" NEXT, 501, CLOSED),
    CASE("an empty encoding", POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a blank behind the encoding", POST "Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a quoted encoding", POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("an encoding of HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a compressed body", POST "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxxx", 415, CLOSED),
    CASE("a wish to be told something else", POST "Expect: tea\r\nContent-Length: 3\r\n\r\nxxx", 417, CLOSED),
    /* chunks */
    CASE("a chunk size with 0x", CHUNKED "0x3\r\nxxx\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a chunk size with +", CHUNKED "+3\r\nxxx\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a chunk size with -", CHUNKED "-3\r\nxxx\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a chunk size with a blank before", CHUNKED " 3\r\nxxx\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a chunk size with a blank behind", CHUNKED "3 \r\nxxx\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("an empty chunk size", CHUNKED "\r\nxxx\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a chunk size that is no number", CHUNKED "xyz\r\nxxx\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a chunk size beyond 64 bits", CHUNKED "10000000000000003\r\nxxx\r\n0\r\n\r\n" NEXT, 413, CLOSED),
    CASE("a chunk over the limit", CHUNKED "100001\r\n{1048577}", 413, CLOSED),
    CASE("a chunk without its end", CHUNKED "3\r\nxxxx\r\n0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a chunk that ends with CR X", CHUNKED "3\r\nxxx\rX0\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a trailer without a colon", CHUNKED "3\r\nxxx\r\n0\r\nX\r\n\r\n" NEXT, 400, CLOSED),
    CASE("trailers without end", CHUNKED "3\r\nxxx\r\n0\r\n{lines 4000}\r\n" NEXT, 431, CLOSED),
    /* the request line */
    CASE("HTTP/0.9", "GET /\r\n\r\n" NEXT, 400, CLOSED),
    CASE("HTTP/1.2", "GET / HTTP/1.2\r\n" HOST "\r\n" NEXT, 505, CLOSED),
    CASE("HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, CLOSED),
    CASE("HTTP/0.1", "GET / HTTP/0.1\r\n" HOST "\r\n" NEXT, 505, CLOSED),
    CASE("http/1.1", "GET / http/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("HTTP/1.10", "GET / HTTP/1.10\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("HTTP/01.1", "GET / HTTP/01.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("no version but words", "GET / HTTQ/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("a blank behind the version", "GET / HTTP/1.1 \r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("two blanks behind the method", "GET  / HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("two blanks behind the target", "GET /  HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("a tab behind the method", "GET\t/ HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("a blank before the method", " GET / HTTP/1.1\r\n" HOST "\r\n" NEXT, 0, CLOSED),
    CASE("a method in lower case", "get / HTTP/1.1\r\n" HOST "\r\n" NEXT, 501, CLOSED),
    CASE("an unknown method", "BREW / HTTP/1.1\r\n" HOST "\r\n" NEXT, 501, CLOSED),
    CASE("TRACE", "TRACE / HTTP/1.1\r\n" HOST "\r\n" NEXT, 501, CLOSED),
    CASE("CONNECT", "CONNECT h:80 HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("a method that is no word", "G@T / HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("an address of a proxy", "GET http://h/ HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("OPTIONS *", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("a target of 8,193 bytes", "GET /{8192} HTTP/1.1\r\n" HOST "\r\n" NEXT, 414, CLOSED),
    CASE("a target without end", "GET /{40000}", 414, CLOSED),
    /* targets */
    CASE("a blank in the target", "GET /a b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("a control character in the target", "GET /a\001 HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("bytes above 127 in the target", "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("a fragment", "GET /a#b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("a backslash", "GET /a\\..\\b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("%00", "GET /a%00 HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("%00 in the query", "GET /?a=%00 HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("%0d%0a", "GET /a%0d%0aX:y HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("%2f", "GET /a%2fb HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("%5C", "GET /a%5Cb HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("..", "GET /a/../b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE(".. at the end", "GET /a/.. HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE(".. before the query", "GET /..?a=b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("%2e%2e", "GET /a/%2e%2E/b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE(".%2e", "GET /.%2e/b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE(".", "GET /./b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("encoded twice", "GET /%252e%252e/ HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("a percent without digits", "GET /%zz HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("a percent at the end", "GET /% HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("overlong UTF-8", "GET /%c0%af HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("half of a UTF-8 sequence", "GET /%c3 HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    CASE("a surrogate as UTF-8", "GET /%ed%a0%80 HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, CLOSED),
    /* hosts, sizes and fields that may come once */
    CASE("no Host", "GET / HTTP/1.1\r\n\r\n" NEXT, 400, CLOSED),
    CASE("two Hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n" NEXT, 400, CLOSED),
    CASE("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a Host with a slash", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a Host with @", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n" NEXT, 400, CLOSED),
    CASE("a Host with a blank", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" NEXT, 400, CLOSED),
    CASE("two tokens", "GET / HTTP/1.1\r\n" HOST "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n" NEXT, 400, CLOSED),
    CASE("two types", POST "Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n" NEXT, 400, CLOSED),
    CASE("101 header fields", "GET / HTTP/1.1\r\n" HOST "{lines 100}\r\n" NEXT, 431, CLOSED),
    CASE("a field of 8,193 bytes", "GET / HTTP/1.1\r\n" HOST "X: {8192}\r\n\r\n" NEXT, 431, CLOSED),
    CASE("a head of more than 16 KiB", "GET / HTTP/1.1\r\n" HOST "X: {8000}\r\nY: {8000}\r\nZ: {1000}\r\n\r\n" NEXT, 431, CLOSED),
    CASE("a field without end", "GET / HTTP/1.1\r\n" HOST "X: {40000}", 431, CLOSED),
    CASE("bytes of TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 0, CLOSED),
};

enum { CASES = sizeof cases / sizeof *cases };

static void answer_all(void *context, const rs_call *call, rs_reply *reply) {
  (void)context;
  rs_buffer_printf(reply->body, "%s %zu", call->target->path, call->size);
}

/* The bytes of a case, written out; the caller frees them. */
static char *written_out(const hard_case *c, size_t *size) {
  char *out = malloc(2 << 20), *to = out;
  for (const char *at = c->bytes, *end = at + c->size; at < end;) {
    long n;
    if (*at == '{' && at[1] == 'l') {
      n = atol(at + 7);
      for (long i = 0; i < n; i++) to += sprintf(to, "X-%ld: y\r\n", i);
      at = strchr(at, '}') + 1;
    } else if (*at == '{') {
      n = atol(at + 1);
      memset(to, 'x', (size_t)n);
      to += n;
      at = strchr(at, '}') + 1;
    } else {
      *to++ = *at++;
    }
  }
  *size = (size_t)(to - out);
  return out;
}

static int connected(const rs_service *s) {
  int handle = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)rs_service_port(s))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert_int_equal(connect(handle, (struct sockaddr *)&to, sizeof to), 0);
  return handle;
}

/* Send all, 'at_once' or a byte at a time. What comes until the service closes, or has answered and keeps the connection,
 * which is 'expected', for so long that it means it; whether it closed. */
static bool exchange(int handle, const char *bytes, size_t n, bool at_once, outcome expected, char *answer, size_t room) {
  size_t sent = 0, got = 0;
  *answer = 0;
  for (;;) {
    struct pollfd ready = {.fd = handle, .events = (short)(POLLIN | (sent < n ? POLLOUT : 0))};
    bool answered = expected == KEPT && sent == n && strstr(answer, "\r\n\r\n");
    if (poll(&ready, 1, answered ? 50 : 10000) == 0) return false;
    if (ready.revents & (POLLIN | POLLHUP | POLLERR)) {
      ssize_t read = recv(handle, answer + got, room - 1 - got, 0);
      if (read <= 0) return true;
      got += (size_t)read;
      answer[got] = 0;
    } else if (ready.revents & POLLOUT) {
      ssize_t written = send(handle, bytes + sent, at_once ? n - sent : 1, MSG_NOSIGNAL | MSG_DONTWAIT);
      sent = written > 0 ? sent + (size_t)written : written < 0 && errno != EAGAIN ? n : sent;
    }
  }
}

static int count(const char *text, const char *word) {
  int n = 0;
  for (; (text = strstr(text, word)); text += strlen(word)) n++;
  return n;
}

static int status_of(const char *answer) { return strncmp(answer, "HTTP/1.1 ", 9) ? 0 : atoi(answer + 9); }

/* What comes behind a refusal, or behind a body of unknown end, is never answered. libmicrohttpd writes the head of its
 * own refusals of a length twice: the second one is read as the refusal's body. */
static bool is_only_answer(const hard_case *c, const char *answer) {
  int well = count(answer, "HTTP/1.1 200 ");
  return well == (c->status == 200) && !strstr(answer, "smuggled");
}

/* Run the case; 0: as it should be. */
static int run(const rs_service *s, const hard_case *c, bool at_once) {
  char answer[65536];
  size_t size;
  char *bytes = written_out(c, &size);
  int handle = connected(s);
  bool closed = exchange(handle, bytes, size, at_once, c->outcome, answer, sizeof answer);
  free(bytes);
  close(handle);
  int status = status_of(answer);
  bool says_so = c->status == 0 || c->outcome == KEPT || strstr(answer, "Connection: close\r\n");
  if (status == c->status && closed == (c->outcome == CLOSED) && is_only_answer(c, answer) && says_so) return 0;
  print_error("%s, %s: %d instead of %d, %s%s:\n%s\n", c->name, at_once ? "at once" : "byte by byte", status, c->status,
              closed ? "closed" : "kept", says_so ? "" : ", no Connection: close", answer);
  return 1;
}

static rs_service *serving(void) {
  rs_service *s = NULL;
  rs_service_options options = {.workers = 2};
  if (rs_service_start(&s, &options, answer_all, NULL) != RS_OK) fail_msg("%s", rs_message());
  return s;
}

static void each_case_is_answered_as_it_should_be(void **state) {
  (void)state;
  rs_service *s = serving();
  int failed = 0;
  for (int i = 0; i < CASES; i++) failed += run(s, &cases[i], true);
  print_message("%d cases\n", CASES);
  assert_int_equal(failed, 0);
  assert_true(CASES >= 80);
  rs_service_free(s);
}

static void and_so_when_it_comes_byte_by_byte(void **state) {
  (void)state;
  rs_service *s = serving();
  int failed = 0;
  for (int i = 0; i < CASES; i++)
    if (!strstr(cases[i].bytes, "{")) failed += run(s, &cases[i], false);
  assert_int_equal(failed, 0);
  rs_service_free(s);
}

/* Names of cases are unique: the documentation speaks of them. */
static void no_name_comes_twice(void **state) {
  (void)state;
  for (int i = 0; i < CASES; i++)
    for (int j = 0; j < i; j++) assert_string_not_equal(cases[i].name, cases[j].name);
}

/* A client that sends on behind a refusal reads it all the same. */
static void a_refusal_arrives_while_the_client_sends(void **state) {
  (void)state;
  rs_service *s = serving();
  size_t n = 4 << 20;
  char *bytes = malloc(n), answer[8192];
  int head = sprintf(bytes, POST "Content-Length: 4194304\r\n\r\n");
  memset(bytes + head, 'x', n - (size_t)head);
  for (int i = 0; i < 20; i++) {
    int handle = connected(s);
    assert_true(exchange(handle, bytes, n, true, CLOSED, answer, sizeof answer));
    assert_int_equal(status_of(answer), 413);
    close(handle);
  }
  free(bytes);
  rs_service_free(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_case_is_answered_as_it_should_be),
      cmocka_unit_test(and_so_when_it_comes_byte_by_byte),
      cmocka_unit_test(no_name_comes_twice),
      cmocka_unit_test(a_refusal_arrives_while_the_client_sends),
  };
  return cmocka_run_group_tests_name("hardening", tests, NULL, no_blocks_remain);
}
