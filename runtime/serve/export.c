/* export.c - see export.h. Lines are put together in a buffer, a block of users at a time. */
#include "serve/export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { BLOCK = 4096 }; /* users whose recommendations are held at once */

/* The shortest text of a float that reads back as the same float. */
static void format_score(char text[32], float score) {
  for (int digits = 6; digits <= 9; digits++) {
    snprintf(text, 32, "%.*g", digits, (double)score);
    if (strtof(text, NULL) == score) return;
  }
}

static rs_status append_csv_field(rs_buffer *out, const char *text, size_t n) {
  bool plain = true;
  for (size_t i = 0; i < n; i++) plain = plain && !strchr("\",\r\n", text[i]);
  if (plain) return rs_buffer_append(out, text, n);
  rs_status status = rs_buffer_append(out, "\"", 1);
  for (size_t i = 0; status == RS_OK && i < n; i++)
    status = text[i] == '"' ? rs_buffer_append(out, "\"\"", 2) : rs_buffer_append(out, text + i, 1);
  return status == RS_OK ? rs_buffer_append(out, "\"", 1) : status;
}

static rs_status append_json_string(rs_buffer *out, const char *text, size_t n) {
  rs_status status = rs_buffer_append(out, "\"", 1);
  for (size_t i = 0; status == RS_OK && i < n; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c < ' ')
      status = rs_buffer_printf(out, "\\u%04x", c);
    else if (c == '"' || c == '\\')
      status = rs_buffer_append(out, (char[]){'\\', (char)c}, 2);
    else
      status = rs_buffer_append(out, text + i, 1);
  }
  return status == RS_OK ? rs_buffer_append(out, "\"", 1) : status;
}

/* One recommendation: user row, rank from 1, item row. */
typedef struct line {
  const char *user, *item;
  size_t user_length, item_length;
  long long rank;
  char score[32];
} line;

static rs_status append_csv(rs_buffer *out, const line *l) {
  rs_status status = append_csv_field(out, l->user, l->user_length);
  if (status == RS_OK) status = rs_buffer_printf(out, ",%lld,", l->rank);
  if (status == RS_OK) status = append_csv_field(out, l->item, l->item_length);
  return status == RS_OK ? rs_buffer_printf(out, ",%s\n", l->score) : status;
}

static rs_status append_json(rs_buffer *out, const line *l) {
  rs_status status = rs_buffer_append_text(out, "{\"user\":");
  if (status == RS_OK) status = append_json_string(out, l->user, l->user_length);
  if (status == RS_OK) status = rs_buffer_printf(out, ",\"rank\":%lld,\"item\":", l->rank);
  if (status == RS_OK) status = append_json_string(out, l->item, l->item_length);
  return status == RS_OK ? rs_buffer_printf(out, ",\"score\":%s}\n", l->score) : status;
}

typedef rs_status append_line(rs_buffer *out, const line *l);

/* A file being written, or none. */
typedef struct sink {
  rs_writer writer;
  append_line *append;
  rs_buffer text;
} sink;

static rs_status open_sink(sink *s, const char *path, append_line *append, const char *header) {
  if (!path) return RS_OK;
  s->append = append;
  rs_status status = rs_writer_open(&s->writer, path);
  return status == RS_OK ? rs_buffer_append_text(&s->text, header) : status;
}

static rs_status flush_sink(sink *s) {
  if (!s->append) return RS_OK;
  rs_status status = rs_writer_write(&s->writer, s->text.data, s->text.size);
  s->text.size = 0;
  return status;
}

static rs_status write_user(const rs_server_model *m, int64_t user, int64_t k, const int64_t *rows, const float *scores,
                            sink *sinks, int64_t *lines) {
  rs_status status = RS_OK;
  line l = {0};
  l.user = rs_server_model_user(m, user, &l.user_length);
  for (int64_t i = 0; status == RS_OK && i < k && rows[i] >= 0; i++) {
    l.rank = i + 1;
    l.item = rs_server_model_item(m, rows[i], &l.item_length);
    format_score(l.score, scores[i]);
    for (int s = 0; s < 2 && status == RS_OK; s++)
      if (sinks[s].append) status = sinks[s].append(&sinks[s].text, &l);
    *lines += status == RS_OK;
  }
  return status;
}

static rs_status write_block(const rs_server_model *m, const rs_export *options, int64_t first, int64_t n, sink *sinks,
                             int64_t *lines) {
  rs_tensor rows = {0}, scores = {0};
  int64_t k = options->k;
  rs_status status = rs_recommend_users(m, first, n, options->now, k, options->exclude_seen, &rows, &scores);
  for (int64_t i = 0; status == RS_OK && i < n; i++)
    status = write_user(m, first + i, k, rs_i64(&rows) + i * k, rs_f32(&scores) + i * k, sinks, lines);
  for (int s = 0; s < 2 && status == RS_OK; s++) status = flush_sink(&sinks[s]);
  rs_tensor_free(&rows);
  rs_tensor_free(&scores);
  return status;
}

static rs_status write_all(const rs_server_model *m, const rs_export *options, sink *sinks, int64_t *lines) {
  int64_t users = rs_server_model_facts(m).users;
  rs_status status = open_sink(&sinks[0], options->csv, append_csv, "user,rank,item,score\n");
  if (status == RS_OK) status = open_sink(&sinks[1], options->jsonl, append_json, "");
  for (int64_t first = 0; status == RS_OK && first < users; first += BLOCK)
    status = write_block(m, options, first, users - first < BLOCK ? users - first : BLOCK, sinks, lines);
  for (int s = 0; s < 2 && status == RS_OK; s++) status = flush_sink(&sinks[s]);
  for (int s = 0; s < 2 && status == RS_OK; s++)
    if (sinks[s].append) status = rs_writer_commit(&sinks[s].writer);
  return status;
}

rs_status rs_export_recommendations(const rs_server_model *m, const rs_export *options, int64_t *lines) {
  sink sinks[2] = {0};
  *lines = 0;
  rs_status status = write_all(m, options, sinks, lines);
  for (int s = 0; s < 2; s++) {
    rs_writer_abort(&sinks[s].writer); /* idle after a commit */
    rs_buffer_free(&sinks[s].text);
  }
  return status;
}
