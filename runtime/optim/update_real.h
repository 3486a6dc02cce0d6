/* update_real.h - the update rules for one type; optim.c includes it with REAL and OF(name). n elements. */

RS_CLONES static void OF(sgd)(const rule *u, REAL *restrict w, const REAL *restrict grad, int64_t n) {
  const REAL rate = (REAL)u->rate, decay = (REAL)u->decay, scale = (REAL)u->scale;
  for (int64_t i = 0; i < n; i++) w[i] -= rate * (grad[i] * scale + decay * w[i]);
}

RS_CLONES static void OF(momentum)(const rule *u, REAL *restrict w, const REAL *restrict grad, REAL *restrict v,
                                   int64_t n) {
  const REAL rate = (REAL)u->rate, decay = (REAL)u->decay, scale = (REAL)u->scale, keep = (REAL)u->momentum;
  for (int64_t i = 0; i < n; i++) {
    v[i] = keep * v[i] + (grad[i] * scale + decay * w[i]);
    w[i] -= rate * v[i];
  }
}

RS_CLONES static void OF(adagrad)(const rule *u, REAL *restrict w, const REAL *restrict grad, REAL *restrict sum,
                                  int64_t n) {
  const REAL rate = (REAL)u->rate, decay = (REAL)u->decay, scale = (REAL)u->scale, epsilon = (REAL)u->epsilon;
  for (int64_t i = 0; i < n; i++) {
    REAL g = grad[i] * scale + decay * w[i];
    sum[i] += g * g;
    w[i] -= rate * g / (SQRT(sum[i]) + epsilon);
  }
}

/* One row; its sum is one number. */
RS_CLONES static void OF(adagrad_row)(const rule *u, REAL *restrict w, const REAL *restrict grad, REAL *restrict sum,
                                      int64_t n) {
  const REAL rate = (REAL)u->rate, decay = (REAL)u->decay, scale = (REAL)u->scale;
  REAL squares = 0;
  for (int64_t i = 0; i < n; i++) {
    REAL g = grad[i] * scale + decay * w[i];
    squares += g * g;
  }
  *sum += n > 0 ? squares / (REAL)n : 0;
  const REAL divisor = SQRT(*sum) + (REAL)u->epsilon;
  for (int64_t i = 0; i < n; i++) w[i] -= rate * (grad[i] * scale + decay * w[i]) / divisor;
}

/* With decay inside the gradient (Adam) or beside it (AdamW: shrink < 1). */
RS_CLONES static void OF(adam)(const rule *u, REAL *restrict w, const REAL *restrict grad, REAL *restrict m,
                               REAL *restrict v, int64_t n) {
  const REAL rate = (REAL)u->rate, decay = (REAL)u->decay, scale = (REAL)u->scale, epsilon = (REAL)u->epsilon;
  const REAL b1 = (REAL)u->beta1, b2 = (REAL)u->beta2, c1 = (REAL)(1 - u->beta1), c2 = (REAL)(1 - u->beta2);
  const REAL correct1 = (REAL)u->correct1, correct2 = (REAL)u->correct2, shrink = (REAL)u->shrink;
  for (int64_t i = 0; i < n; i++) {
    REAL g = grad[i] * scale + decay * w[i];
    m[i] = b1 * m[i] + c1 * g;
    v[i] = b2 * v[i] + c2 * g * g;
    w[i] = w[i] * shrink - rate * (m[i] * correct1) / (SQRT(v[i] * correct2) + epsilon);
  }
}

/* n elements of a parameter, from w, grad and the states on. */
static void OF(apply)(const rule *u, void *w, const void *grad, void *const *state, int64_t n) {
  switch (u->kind) {
    case RS_SGD:
      if (u->momentum == 0)
        OF(sgd)(u, w, grad, n);
      else
        OF(momentum)(u, w, grad, state[0], n);
      break;
    case RS_ADAGRAD: (u->row_wise ? OF(adagrad_row) : OF(adagrad))(u, w, grad, state[0], n); break;
    default: OF(adam)(u, w, grad, state[0], state[1], n); break;
  }
}

RS_CLONES static double OF(squares)(const REAL *x, int64_t n) {
  double lane[8] = {0}, total = 0;
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int l = 0; l < 8; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
  for (; i < n; i++) total += (double)x[i] * (double)x[i];
  for (int half = 4; half >= 1; half /= 2)
    for (int l = 0; l < half; l++) lane[l] += lane[l + half];
  return lane[0] + total;
}

#undef REAL
#undef OF
#undef SQRT
