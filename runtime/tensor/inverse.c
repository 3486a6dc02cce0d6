/* inverse.c - see inverse.h. */
#include "tensor/inverse.h"

#include "tensor/gemm.h"
#include "tensor/lapack.h"

rs_status rs_inverse_definite(rs_tensor *out, const rs_tensor *a) {
  if (a->ndim != 2 || a->size[0] != a->size[1] || a->dtype != RS_F64)
    return rs_fail(RS_ESHAPE, "inverse: a square matrix of f64 is expected, not %s %s", rs_dtype_name(a->dtype),
                   rs_shape(a).text);
  rs_tensor root = {0};
  bool definite = true;
  rs_status status = rs_tensor_copy_of(&root, a);
  if (status == RS_OK && a->size[0] > 0) rs_lapack_inverse_root(&root, &definite);
  if (status == RS_OK && !definite) status = rs_fail(RS_ENUMERIC, "inverse: the matrix is not positive definite");
  if (status == RS_OK) status = rs_matmul(out, &root, false, &root, true);
  rs_tensor_free(&root);
  return status;
}
