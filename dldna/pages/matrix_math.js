// Dense matrices as lists, row by row: products, eigenvalues, QR.
const dldnaMatrix = (function () {
  "use strict";

  // The product of an n x m matrix and an m x p one.
  function times(A, B, n, m, p) {
    const C = new Float64Array(n * p);
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < m; k++) {
        const a = A[i * m + k];
        for (let j = 0; j < p; j++) C[i * p + j] += a * B[k * p + j];
      }
    }
    return C;
  }

  function transpose(A, n, m) {
    const T = new Float64Array(n * m);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < m; j++) T[j * n + i] = A[i * m + j];
    }
    return T;
  }

  // A times its own transpose, n x n.
  const gram = (A, n, m) => times(A, transpose(A, n, m), n, m, n);

  // Eigenvalues of a symmetric matrix, the largest first, and eigenvectors
  // in columns, by Jacobi's rotations.
  function eigen(S, n) {
    const A = Float64Array.from(S), V = new Float64Array(n * n);
    for (let i = 0; i < n; i++) V[i * n + i] = 1;
    for (let sweep = 0; sweep < 60; sweep++) {
      let off = 0, all = 0;
      for (let i = 0; i < n * n; i++) all += A[i] * A[i];
      for (let p = 0; p < n; p++) {
        for (let q = p + 1; q < n; q++) off += A[p * n + q] ** 2;
      }
      if (!(off > 1e-34 * all)) break;
      for (let p = 0; p < n; p++) {
        for (let q = p + 1; q < n; q++) turn(A, V, n, p, q);
      }
    }
    const order = Array.from({ length: n }, (_, i) => i)
      .sort((i, j) => A[j * n + j] - A[i * n + i]);
    const vectors = new Float64Array(n * n);
    order.forEach((from, to) => {
      for (let i = 0; i < n; i++) vectors[i * n + to] = V[i * n + from];
    });
    return { values: order.map((i) => A[i * n + i]), vectors };
  }

  // One rotation that makes A[p, q] zero.
  function turn(A, V, n, p, q) {
    const apq = A[p * n + q];
    if (apq === 0) return;
    const theta = (A[q * n + q] - A[p * n + p]) / (2 * apq);
    const sign = theta < 0 ? -1 : 1;
    const t = sign / (Math.abs(theta) + Math.hypot(theta, 1));
    const c = 1 / Math.hypot(t, 1), s = t * c;
    for (let k = 0; k < n; k++) {
      const a = A[k * n + p], b = A[k * n + q];
      A[k * n + p] = c * a - s * b;
      A[k * n + q] = s * a + c * b;
    }
    for (let k = 0; k < n; k++) {
      const a = A[p * n + k], b = A[q * n + k];
      A[p * n + k] = c * a - s * b;
      A[q * n + k] = s * a + c * b;
    }
    A[p * n + q] = A[q * n + p] = 0;
    for (let k = 0; k < n; k++) {
      const a = V[k * n + p], b = V[k * n + q];
      V[k * n + p] = c * a - s * b;
      V[k * n + q] = s * a + c * b;
    }
  }

  // Orthonormal columns that span those of an n x m matrix, n >= m, by
  // Householder's reflections; R's diagonal is positive.
  function orthonormal(A, n, m) {
    const R = Float64Array.from(A), mirrors = [];
    for (let k = 0; k < m; k++) {
      const v = new Float64Array(n);
      for (let i = k; i < n; i++) v[i] = R[i * m + k];
      const length = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
      v[k] += v[k] < 0 ? -length : length;
      mirrors.push(v);
      reflect(R, v, n, m);
    }
    const Q = new Float64Array(n * m);
    for (let k = 0; k < m; k++) Q[k * m + k] = R[k * m + k] < 0 ? -1 : 1;
    mirrors.reverse().forEach((v) => reflect(Q, v, n, m));
    return Q;
  }

  function reflect(A, v, n, m) {
    const size = v.reduce((sum, x) => sum + x * x, 0);
    if (!(size > 0)) return;
    for (let j = 0; j < m; j++) {
      let dot = 0;
      for (let i = 0; i < n; i++) dot += v[i] * A[i * m + j];
      for (let i = 0; i < n; i++) A[i * m + j] -= (2 * dot / size) * v[i];
    }
  }

  // Singular values, the largest first.
  function singular(A, n, m) {
    const small = n <= m ? gram(A, n, m) : gram(transpose(A, n, m), m, n);
    return eigen(small, Math.min(n, m)).values
      .map((v) => Math.sqrt(Math.max(v, 0)));
  }

  return { eigen, gram, orthonormal, singular, times, transpose };
})();
