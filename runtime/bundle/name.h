/* name.h - which names a bundle's members may have, and the seal of its manifest. Within the bundle folder. */
#ifndef RS_BUNDLE_NAME_H
#define RS_BUNDLE_NAME_H
#include "bundle/bundle.h"

/* Parts of a-z 0-9 . _ - between single '/', none starting with '.': no absolute path, no '..', no hidden file. */
bool rs_member_name_is_plain(const char *name);
/* Whether it is the manifest or its seal. */
bool rs_member_name_is_reserved(const char *name);

enum { RS_SEAL_BYTES = RS_SHA256_TEXT + sizeof "  manifest.json\n" - 1 };
/* The contents of manifest.sha256 for a manifest with hash 'hex'. */
void rs_seal(char seal[RS_SEAL_BYTES + 1], const char *hex);

#endif
