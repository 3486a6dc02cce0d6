/* head.c - see head.h. */
#include "http/head.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define REFUSE(status, code, message) ((rs_fault){status, code, message})
#define FINE ((rs_fault){0})

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* What a name consists of (RFC 9110, 5.6.2). */
static bool is_token(const char *text, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!is_letter(text[i]) && !is_digit(text[i]) && (!text[i] || !strchr("!#$%&'*+-.^_`|~", text[i]))) return false;
  return n > 0;
}

bool rs_is_plain(const char *text, size_t n, size_t most) {
  for (size_t i = 0; i < n; i++)
    if (!is_letter(text[i]) && !is_digit(text[i]) && (!text[i] || !strchr("-_.:/+=", text[i]))) return false;
  return n >= 1 && n <= most;
}

static int hex(char c) {
  if (is_digit(c)) return c - '0';
  c = (char)(c | 32);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The request line. */

const char *rs_known_method(const char *method) {
  static const char *const known[] = {"GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(method, known[i])) return known[i];
  return NULL;
}

static rs_fault check_method(const rs_head *h) {
  if (rs_known_method(h->method)) return FINE;
  if (!is_token(h->method, strlen(h->method))) return REFUSE(400, "method", "the method is no word");
  return REFUSE(501, "method", "no method that is known here");
}

/* A path's byte behind '%'; what would be read otherwise by who decodes once more, or not at all. */
static bool is_ambiguous(const char *at, const char *end) {
  if (end - at < 3) return true;
  int high = hex(at[1]), low = hex(at[2]);
  if (high < 0 || low < 0) return true;
  int c = high * 16 + low;
  if (c < 0x20 || c == 0x7f || c == '/' || c == '\\') return true;
  return c == '%' && end - at >= 5 && hex(at[3]) >= 0 && hex(at[4]) >= 0;
}

/* The dots of a segment, plain or as %2e, where it has nothing else; 0: it has. */
static int dots(const char *at, const char *end) {
  int n = 0;
  while (at < end && *at != '/' && *at != '?') {
    bool escaped = end - at >= 3 && at[0] == '%' && at[1] == '2' && (at[2] | 32) == 'e';
    if (*at != '.' && !escaped) return 0;
    at += escaped ? 3 : 1;
    n++;
  }
  return n;
}

rs_fault rs_target_check(const char *target, size_t most) {
  size_t size = strlen(target);
  if (size > most) return REFUSE(414, "target", "the address is too long");
  if (target[0] != '/') return REFUSE(400, "target", "the address does not begin with /");
  bool path = true;
  for (const char *at = target, *end = target + size; at < end; at++) {
    unsigned char c = (unsigned char)*at;
    if (c <= 0x20 || c >= 0x7f || strchr("\\#\"<>", c))
      return REFUSE(400, "target", "the address has bytes that must be percent-encoded");
    if (c == '?') path = false;
    if (!path) continue;
    if (c == '%' && is_ambiguous(at, end)) return REFUSE(400, "target", "the address is encoded in an ambiguous way");
    int n = c == '/' ? dots(at + 1, end) : 0;
    if (n == 1 || n == 2) return REFUSE(400, "target", "the address has segments . or ..");
  }
  return FINE;
}

static rs_fault check_version(const rs_head *h) {
  if (!strcmp(h->version, "HTTP/1.1") || !strcmp(h->version, "HTTP/1.0")) return FINE;
  return REFUSE(505, "version", "HTTP/1.1 and HTTP/1.0 are spoken here");
}

static bool all_are(const char *at, size_t n, const char *bytes, size_t n_bytes) {
  for (size_t i = 0; i < n; i++)
    if (!memchr(bytes, at[i], n_bytes)) return false;
  return true;
}

/* Whether all pieces lie one behind the other with nothing between them but what must be there: so a line ended by a
 * bare LF, a folded one, a zero byte, and blanks within the request line are seen, which a library may hide. It has put
 * zeros over the colons and over both bytes of each line's end. */
static bool is_seamless(const rs_head *h) {
  if (h->target != h->method + strlen(h->method) + 1 || h->version != h->target + h->target_size + 1) return false;
  const char *at = h->version + strlen(h->version);
  for (const rs_field *f = h->fields; f < h->fields + h->n; f++) {
    const char *colon = f->name + f->name_size;
    if (f->name != at + 2 || !all_are(at, 2, "", 1)) return false;
    if (f->value <= colon || f->value > h->end) return false;
    if (!all_are(colon + 1, (size_t)(f->value - colon - 1), " \t", 2)) return false;
    at = f->value + f->value_size;
  }
  return at + 4 == h->end && all_are(at, 4, "", 1);
}

/* Fields. */

static bool named(const rs_field *f, const char *name, size_t size) {
  return f->name_size == size && !strncasecmp(f->name, name, size);
}

static rs_fault check_field(const rs_field *f, size_t most) {
  if (f->name_size + f->value_size > most) return REFUSE(431, "headers", "a header field is too long");
  if (!is_token(f->name, f->name_size)) return REFUSE(400, "headers", "the name of a header field is no word");
  for (size_t i = 0; i < f->value_size; i++) {
    unsigned char c = (unsigned char)f->value[i];
    if ((c < 0x20 && c != '\t') || c == 0x7f) return REFUSE(400, "headers", "a header field has control characters");
  }
  return FINE;
}

/* The fields that decide, of which there may be one each. */
typedef struct deciding {
  const rs_field *host, *length, *encoding, *expect, *content_encoding, *authorization, *content_type;
} deciding;

static bool keep_one(const rs_field **kept, const rs_field *f) {
  bool first = !*kept;
  *kept = f;
  return first;
}

#define IS(word) named(f, word, sizeof word - 1)

/* Remember the field where it decides; false: it came before. */
static bool sort_in(deciding *d, const rs_field *f) {
  if (IS("host")) return keep_one(&d->host, f);
  if (IS("content-length")) return keep_one(&d->length, f);
  if (IS("transfer-encoding")) return keep_one(&d->encoding, f);
  if (IS("expect")) return keep_one(&d->expect, f);
  if (IS("content-encoding")) return keep_one(&d->content_encoding, f);
  if (IS("authorization")) return keep_one(&d->authorization, f);
  if (IS("content-type")) return keep_one(&d->content_type, f);
  return true;
}

static bool is_value(const rs_field *f, const char *value) {
  return f->value_size == strlen(value) && !strncasecmp(f->value, value, f->value_size);
}

/* The name or number of a Host in 'text', terminated, without its port, its brackets and a dot at its end; false: it is
 * none of 1 to 'room' - 1 bytes. */
static bool host_name(char *text, size_t room, const rs_field *host) {
  const char *at = host->value, *end = at + host->value_size;
  bool bracket = at < end && *at == '[';
  const char *stop = memchr(at, bracket ? ']' : ':', (size_t)(end - at)), *port = stop ? stop + bracket : end;
  if (bracket) at++;
  if ((bracket && !stop) || (port < end && (*port != ':' || end - port < 2))) return false;
  for (const char *c = port + 1; c < end; c++)
    if (!is_digit(*c)) return false;
  if (!stop) stop = end;
  if (!bracket && stop > at && stop[-1] == '.') stop--;
  size_t size = (size_t)(stop - at);
  if (size < 1 || size >= room) return false;
  memcpy(text, at, size);
  text[size] = 0;
  return true;
}

static bool is_loopback(const char *name) {
  struct in_addr v4;
  struct in6_addr v6;
  if (!strcasecmp(name, "localhost")) return true;
  if (inet_pton(AF_INET, name, &v4) == 1) return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
  return inet_pton(AF_INET6, name, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool is_among(const char *name, const char *words) {
  size_t size = strlen(name);
  for (const char *at = words; *at; at += strspn(at, " ")) {
    size_t word = strcspn(at, " ");
    if (word == size && !strncasecmp(at, name, size)) return true;
    at += word;
  }
  return false;
}

/* A page of somebody else's, whose name was made to point to this machine (DNS rebinding), asks in its own name; a
 * number cannot be made to point elsewhere. lua/recsys/ui/guard.lua holds to the same. */
static rs_fault check_name(const rs_field *host, const char *names) {
  char name[256];
  if (!names || (host_name(name, sizeof name, host) && (is_loopback(name) || is_among(name, names)))) return FINE;
  return REFUSE(403, "host", "Host is none of this server's names; if it is one, start the server with --allow-host");
}

static rs_fault check_host(const rs_head *h, const rs_field *host) {
  if (!host) return strcmp(h->version, "HTTP/1.1") ? FINE : REFUSE(400, "host", "there is no Host");
  for (size_t i = 0; i < host->value_size; i++) {
    char c = host->value[i];
    if (!is_letter(c) && !is_digit(c) && (!c || !strchr("-._~:[]%!$&'()*+,;=", c)))
      return REFUSE(400, "host", "Host is no name of a host");
  }
  return host->value_size > 0 ? FINE : REFUSE(400, "host", "Host is empty");
}

static rs_fault check_length(const rs_field *f, int64_t most, rs_head_facts *facts) {
  if (f->value_size < 1) return REFUSE(400, "content-length", "Content-Length is empty");
  for (size_t i = 0; i < f->value_size; i++)
    if (!is_digit(f->value[i])) return REFUSE(400, "content-length", "Content-Length is no number");
  for (size_t i = 0; i < f->value_size && facts->length <= most; i++)
    facts->length = facts->length * 10 + (f->value[i] - '0');
  return facts->length <= most ? FINE : REFUSE(413, "body", "the body is larger than this service takes");
}

static rs_fault check_encoding(const rs_head *h, const rs_field *f, rs_head_facts *facts) {
  if (strcmp(h->version, "HTTP/1.1")) return REFUSE(400, "transfer-encoding", "HTTP/1.0 knows no Transfer-Encoding");
  if (is_value(f, "chunked")) {
    facts->chunked = true;
    return FINE;
  }
  if (is_token(f->value, f->value_size))
    return REFUSE(501, "transfer-encoding", "no Transfer-Encoding but chunked is known here");
  return REFUSE(400, "transfer-encoding", "Transfer-Encoding is not the word chunked");
}

/* What of the fields says how the rest is to be read. */
static rs_fault check_framing(const rs_head *h, const deciding *d, int64_t most, rs_head_facts *facts) {
  if (d->length && d->encoding) return REFUSE(400, "content-length", "both Content-Length and Transfer-Encoding");
  rs_fault fault = d->length ? check_length(d->length, most, facts) : FINE;
  if (!fault.status && d->encoding) fault = check_encoding(h, d->encoding, facts);
  if (fault.status) return fault;
  if ((facts->length > 0 || facts->chunked) && (!strcmp(h->method, "GET") || !strcmp(h->method, "HEAD")))
    return REFUSE(400, "body", "GET and HEAD have no body");
  if (d->content_encoding && !is_value(d->content_encoding, "identity"))
    return REFUSE(415, "content-encoding", "bodies are taken as they are, not compressed");
  if (d->expect && !is_value(d->expect, "100-continue"))
    return REFUSE(417, "expect", "no Expect but 100-continue is known here");
  return FINE;
}

rs_fault rs_head_check(const rs_head *h, const rs_head_limits *limits, rs_head_facts *facts) {
  *facts = (rs_head_facts){0};
  deciding d = {0};
  rs_fault fault = check_method(h);
  if (!fault.status) fault = check_version(h);
  if (!fault.status && h->n > limits->fields) fault = REFUSE(431, "headers", "too many header fields");
  if (!fault.status && h->end && h->end > h->method + limits->all)
    fault = REFUSE(431, "headers", "the head is too long");
  for (const rs_field *f = h->fields; !fault.status && f < h->fields + h->n; f++) {
    fault = check_field(f, limits->line);
    if (!fault.status && !sort_in(&d, f))
      fault = REFUSE(400, "headers", "a header field that may come once comes twice");
  }
  if (!fault.status && h->end && !is_seamless(h))
    fault = REFUSE(400, "line", "a line does not end with CR LF, is folded, or has blanks or zeros where none may be");
  if (!fault.status) fault = check_host(h, d.host);
  if (!fault.status && d.host) fault = check_name(d.host, limits->names);
  return fault.status ? fault : check_framing(h, &d, limits->body, facts);
}
