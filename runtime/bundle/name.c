/* name.c - see name.h. */
#include "bundle/name.h"

#include <stdio.h>
#include <string.h>

bool rs_member_name_is_plain(const char *name) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
  if (strlen(name) > RS_BUNDLE_NAME_LIMIT) return false;
  for (;;) {
    size_t length = strspn(name, letters);
    if (length == 0 || name[0] == '.') return false;
    name += length;
    if (!*name) return true;
    if (*name++ != '/') return false;
  }
}

bool rs_member_name_is_reserved(const char *name) {
  return !strcmp(name, "manifest.json") || !strcmp(name, "manifest.sha256");
}

void rs_seal(char seal[RS_SEAL_BYTES + 1], const char *hex) {
  snprintf(seal, RS_SEAL_BYTES + 1, "%s  manifest.json\n", hex);
}
