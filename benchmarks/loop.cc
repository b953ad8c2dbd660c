// A hand-written training loop to hold the engine against: nothing but the paper's network, all
// sizes known, whole trainings in one call, no early exit, no folds. Benchmark only; see native.py.
// Networks lie in the lanes of a register, weights in the first-level cache, four points and four
// hidden units at once; tanh is a rational function in float32 (13 over 6, as in Eigen) and
// expm1-based in float64.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#else
constexpr int kBytes = 32;
#endif
constexpr int kWidth = 16, kBlock = 16, kTile = 4;

template <typename T>
struct Lanes {
  typedef T type __attribute__((vector_size(kBytes)));
};
template <typename T>
using V = typename Lanes<T>::type;

static inline V<float> tanh_of(V<float> x) {
  const V<float> most = V<float>{} + 7.90531110763549805f;
  x = x < most ? x : most;
  x = x > -most ? x : -most;
  const V<float> s = x * x;
  V<float> p = s * -2.76076847742355e-16f + 2.00018790482477e-13f;
  for (float c : {-8.60467152213735e-11f, 5.12229709037114e-08f, 1.48572235717979e-05f,
                  6.37261928875436e-04f, 4.89352455891786e-03f})
    p = p * s + c;
  V<float> q = s * 1.19825839466702e-06f + 1.18534705686654e-04f;
  for (float c : {2.26843463243900e-03f, 4.89352518554385e-03f}) q = q * s + c;
  return x * p / q;
}

static inline V<double> tanh_of(V<double> x) {
  typedef std::int64_t I __attribute__((vector_size(kBytes)));
  const V<double> most = V<double>{} + 20.0, shift = V<double>{} + 6755399441055744.0;
  x = x < most ? x : most;
  x = x > -most ? x : -most;
  const V<double> a = x + x, k = a * 1.442695040888963407 + shift, n = k - shift;
  const V<double> r = (a - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
  V<double> p = V<double>{} + 1.0 / 6227020800.0;
  for (double c : {1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
                   1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5})
    p = p * r + c;
  p = p * (r * r) + r;
  I bits;
  std::memcpy(&bits, &k, sizeof k);
  bits = (bits + 1023) << 52;
  V<double> power;
  std::memcpy(&power, &bits, sizeof bits);
  const V<double> e = p * power + (power - 1.0);
  return e / (e + 2.0);
}

template <typename T>
struct alignas(64) Network {
  V<T> w0[kWidth][kWidth], g0[kWidth][kWidth], w1[kWidth], g1[kWidth];
  V<T> h[kBlock][kWidth], d[kBlock][kWidth], f[kBlock];
};

template <typename T>
static void block(Network<T>& n, const T* x, const T* y, T in, T out, T share, V<T>& loss) {
  for (int q = 0; q < kBlock; ++q) n.f[q] = V<T>{};
  for (int j = 0; j < kWidth; j += kTile)
    for (int q = 0; q < kBlock; q += kTile) {
      V<T> sum[kTile][kTile] = {};
      for (int i = 0; i < kWidth; ++i)
        for (int a = 0; a < kTile; ++a)
          for (int b = 0; b < kTile; ++b) sum[a][b] += n.w0[i][j + b] * x[(q + a) * kWidth + i];
      for (int a = 0; a < kTile; ++a)
        for (int b = 0; b < kTile; ++b) {
          const V<T> h = tanh_of(sum[a][b] * in);
          n.h[q + a][j + b] = h;
          n.f[q + a] += h * n.w1[j + b];
        }
    }
  for (int q = 0; q < kBlock; ++q) {
    const V<T> e = n.f[q] * out - y[q], back = e * share, through = back * in;
    loss += e * e;
    for (int j = 0; j < kWidth; ++j) {
      n.g1[j] += back * n.h[q][j];
      n.d[q][j] = through * n.w1[j] * (T(1) - n.h[q][j] * n.h[q][j]);
    }
  }
  for (int i = 0; i < kWidth; i += kTile)
    for (int j = 0; j < kWidth; j += kTile)
      for (int q = 0; q < kBlock; ++q)
        for (int a = 0; a < kTile; ++a)
          for (int b = 0; b < kTile; ++b)
            n.g0[i + a][j + b] += n.d[q][j + b] * x[q * kWidth + i + a];
}

// w0 [16, 16], w1 [16] of all networks; rates [networks, 2]; x [points, 16] and y [points], points
// a multiple of 16 -> losses [networks, steps]
template <typename T>
static void train(const T* w0, const T* w1, const T* rates, int networks, const T* x, const T* y,
                  int points, int steps, T* losses) {
  constexpr int lanes = kBytes / sizeof(T);
  const T in = std::sqrt(T(2)) / 4, out = T(1) / kWidth, share = T(2) / points * out;
  static thread_local Network<T> n;
  for (int first = 0; first + lanes <= networks; first += lanes) {
    V<T> rate0, rate1;
    for (int l = 0; l < lanes; ++l) {
      rate0[l] = rates[2 * (first + l)], rate1[l] = rates[2 * (first + l) + 1];
    }
    for (int k = 0; k < kWidth * kWidth; ++k) n.w0[k / kWidth][k % kWidth] = V<T>{} + w0[k];
    for (int j = 0; j < kWidth; ++j) n.w1[j] = V<T>{} + w1[j];
    for (int t = 0; t < steps; ++t) {
      std::memset(n.g0, 0, sizeof n.g0);
      std::memset(n.g1, 0, sizeof n.g1);
      V<T> loss = {};
      for (int p = 0; p < points; p += kBlock)
        block(n, x + p * kWidth, y + p, in, out, share, loss);
      for (int i = 0; i < kWidth; ++i)
        for (int j = 0; j < kWidth; ++j) n.w0[i][j] -= rate0 * n.g0[i][j];
      for (int j = 0; j < kWidth; ++j) n.w1[j] -= rate1 * n.g1[j];
      for (int l = 0; l < lanes; ++l) losses[std::size_t(first + l) * steps + t] = loss[l] / points;
    }
  }
}

extern "C" void train_float32(const float* w0, const float* w1, const float* rates, int networks,
                              const float* x, const float* y, int points, int steps,
                              float* losses) {
  train(w0, w1, rates, networks, x, y, points, steps, losses);
}
extern "C" void train_float64(const double* w0, const double* w1, const double* rates,
                              int networks, const double* x, const double* y, int points,
                              int steps, double* losses) {
  train(w0, w1, rates, networks, x, y, points, steps, losses);
}
