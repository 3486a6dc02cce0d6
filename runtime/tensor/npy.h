/* npy.h - one array in NumPy's .npy format, versions 1 to 3 (numpy.org/neps/nep-0001-npy-format.html).
 *
 * Magic, version, the length of a header that is a Python dictionary of descr, fortran_order and shape, then the
 * elements. Read as we store them: f4, f8, i4, i8 and u1 of this machine's byte order where they lie; b1 as u8; f2 as
 * f32; i1, i2 and u2 as i32; u4 as i64; other byte orders and Fortran's order of dimensions are turned in a copy. */
#ifndef RS_NPY_H
#define RS_NPY_H
#include "tensor/tensor.h"

enum { RS_NPY_HEADER_LIMIT = 1 << 16 }; /* bytes */

/* The array that fills the region, whose bytes are not trusted; a view where it can be. RS_EFORMAT names 'what', the
 * byte and the trouble: a header that is cut, too long or no such dictionary, elements of another kind (u8, complex,
 * strings, objects, records), more than RS_MAX_DIMS dimensions, bytes that are missing or left. */
rs_status rs_npy_read(rs_tensor *out, rs_storage *region, const char *what);

/* Map the file at 'path' and read it. */
rs_status rs_npy_open(rs_tensor *out, const char *path);

/* Replace the file at 'path' atomically. */
rs_status rs_npy_write(const char *path, const rs_tensor *t);

#endif
