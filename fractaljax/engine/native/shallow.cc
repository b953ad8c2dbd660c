// Steps of plain gradient descent for networks of one hidden layer and one output, several networks
// in the lanes of a vector: weights, gradients and the activations of sixteen points stay in the
// first-level cache, and one call takes many steps. The reference is the engine's own JAX path.
//
// Per step and network: z = in * (x W0), h = act(z), e = out * (h w1) - y, loss = mean(e^2), then
// w -= rate * dloss/dw for both layers. Inputs, hidden units and points come padded to multiples of
// four with zeros, which change nothing: a padded unit stays at zero, a padded point is not counted.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
constexpr int kTile = 4;     // side of what is summed in registers: 4 x 4 vectors
constexpr int kPaper = 16;   // inputs and hidden units of the paper's network
constexpr int kPoints = 16;  // points whose activations are kept between forward and backward

template <typename T>
struct Vector {
  typedef T type __attribute__((vector_size(kBytes)));
  using Integer = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;
  typedef Integer Bits __attribute__((vector_size(kBytes)));
  static constexpr int lanes = kBytes / sizeof(T);
};
template <typename T>
using V = typename Vector<T>::type;

template <typename To, typename From>
inline __attribute__((always_inline)) To cast_bits(const From& from) {
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2, by Chebyshev interpolation: within 2e-8 and 3e-17
constexpr double kExp32[] = {0.0013926183587713494542, 0.0083631790527225773704,
                             0.041666554617204574203, 0.16666576989698775683, 0.5};
constexpr double kExp64[] = {
    2.5100385495510319078e-8,  2.7620088445409748161e-7, 2.7557268459997064772e-6,
    0.000024801521295954375131, 0.00019841269863053616878, 0.0013888888917213716901,
    0.0083333333333300618325,  0.041666666666624127873,  0.16666666666666667453,
    0.50000000000000010221};

// tanh(z) = e / (e + 2) with e = exp(2 |z|) - 1, exp by its powers of two; within 2.5 units in the
// last place, odd to the bit, NaN for NaN.
template <typename T>
inline __attribute__((always_inline)) V<T> tanh_of(V<T> z) {
  using Bits = typename Vector<T>::Bits;
  using Integer = typename Vector<T>::Integer;
  constexpr bool wide = sizeof(T) == 8;
  constexpr int mantissa = wide ? 52 : 23, bias = wide ? 1023 : 127;
  const Bits sign_bit = Bits{} + Integer(Integer(1) << (8 * sizeof(T) - 1));
  const Bits bits = cast_bits<Bits>(z), sign = bits & sign_bit;
  V<T> a = cast_bits<V<T>>(Bits(bits & ~sign_bit));
  a += a;
  const V<T> largest = V<T>{} + T(wide ? 40 : 20);  // beyond it tanh is 1
  a = largest < a ? largest : a;
  const T shift = wide ? T(6755399441055744.0) : T(12582912.0);  // 1.5 * 2^mantissa rounds
  const V<T> shifted = a * T(1.442695040888963407) + shift, n = shifted - shift;
  const T high = wide ? T(6.93147180369123816490e-01) : T(6.93145751953125e-01);
  const T low = wide ? T(1.90821492927058770002e-10) : T(1.42860682030941723212e-06);
  const V<T> r = (a - n * high) - n * low;
  V<T> p = {};
  if constexpr (wide) {
    for (double c : kExp64) p = p * r + T(c);
  } else {
    for (double c : kExp32) p = p * r + T(c);
  }
  p = p * (r * r) + r;
  const Bits exponent = (cast_bits<Bits>(shifted) + Integer(bias)) << mantissa;
  const V<T> power = cast_bits<V<T>>(exponent);
  const V<T> e = p * power + (power - T(1));
  const V<T> t = e / (e + T(2));
  return cast_bits<V<T>>(Bits(cast_bits<Bits>(t) | sign));
}

enum Activation { kTanh = 0, kRelu = 1, kLinear = 2 };

template <typename T, int activation>
inline __attribute__((always_inline)) V<T> act(V<T> z) {
  if constexpr (activation == kTanh) return tanh_of<T>(z);
  if constexpr (activation == kRelu) return z > T(0) ? z : (z != z ? z : V<T>{});
  return z;
}

template <typename T, int activation>
inline __attribute__((always_inline)) V<T> slope(V<T> h) {
  if constexpr (activation == kTanh) return T(1) - h * h;
  if constexpr (activation == kRelu) return h > T(0) ? V<T>{} + T(1) : V<T>{};
  return V<T>{} + T(1);
}

// What all networks of a call share. Sizes that are known here, the paper's, make shorter loops.
template <typename T, int width>
struct Problem {
  const T* x;  // [points, inputs], padded
  const T* y;  // [points]
  int points;
  T in, out;
  int given_inputs, given_hidden;
  int inputs() const { return width ? width : given_inputs; }
  int hidden() const { return width ? width : given_hidden; }
};

// Of one vector of networks: views of one block of memory, so that they lie together in the cache.
template <typename T>
struct Scratch {
  V<T>*w0, *g0, *w1, *g1, *h, *d, *f;
};

template <typename T, int width, int activation>
void forward(const Problem<T, width>& p, const Scratch<T>& s, const T* x, int points) {
  const int inputs = p.inputs(), hidden = p.hidden();
  for (int q = 0; q < points; ++q) s.f[q] = V<T>{};
  for (int j = 0; j < hidden; j += kTile)
    for (int q = 0; q < points; q += kTile) {
      V<T> sum[kTile][kTile] = {};
      for (int i = 0; i < inputs; ++i)
        for (int a = 0; a < kTile; ++a)
          for (int b = 0; b < kTile; ++b)
            sum[a][b] += s.w0[i * hidden + j + b] * x[(q + a) * inputs + i];
      for (int a = 0; a < kTile; ++a)
        for (int b = 0; b < kTile; ++b) {
          const V<T> h = act<T, activation>(sum[a][b] * p.in);
          s.h[(q + a) * hidden + j + b] = h;
          s.f[q + a] += h * s.w1[j + b];
        }
    }
}

template <typename T, int width, int activation>
V<T> errors(const Problem<T, width>& p, const Scratch<T>& s, const T* y, int points) {
  const int hidden = p.hidden();
  V<T> loss = {};
  const T share = T(2) / T(p.points) * p.out;
  for (int q = 0; q < points; ++q) {
    const V<T> e = s.f[q] * p.out - y[q];
    loss += e * e;
    const V<T> back = e * share, through = back * p.in;
    for (int j = 0; j < hidden; ++j) {
      const V<T> h = s.h[q * hidden + j];
      s.g1[j] += back * h;
      s.d[q * hidden + j] = (through * s.w1[j]) * slope<T, activation>(h);
    }
  }
  return loss;
}

template <typename T, int width>
void backward(const Problem<T, width>& p, const Scratch<T>& s, const T* x, int points) {
  const int inputs = p.inputs(), hidden = p.hidden();
  for (int i = 0; i < inputs; i += kTile)
    for (int j = 0; j < hidden; j += kTile) {
      V<T> sum[kTile][kTile];
      for (int a = 0; a < kTile; ++a)
        for (int b = 0; b < kTile; ++b) sum[a][b] = s.g0[(i + a) * hidden + j + b];
      for (int q = 0; q < points; ++q)
        for (int a = 0; a < kTile; ++a)
          for (int b = 0; b < kTile; ++b)
            sum[a][b] += s.d[q * hidden + j + b] * x[q * inputs + i + a];
      for (int a = 0; a < kTile; ++a)
        for (int b = 0; b < kTile; ++b) s.g0[(i + a) * hidden + j + b] = sum[a][b];
    }
}

template <typename T, int width, int activation>
V<T> step(const Problem<T, width>& p, const Scratch<T>& s, V<T> rate0, V<T> rate1) {
  const int inputs = p.inputs(), hidden = p.hidden(), weights = inputs * hidden;
  std::fill(s.g0, s.g0 + weights, V<T>{});
  std::fill(s.g1, s.g1 + hidden, V<T>{});
  V<T> loss = {};
  for (int q = 0; q < p.points; q += kPoints) {
    const int here = std::min(kPoints, p.points - q);
    const T* x = p.x + std::size_t(q) * inputs;
    forward<T, width, activation>(p, s, x, (here + kTile - 1) / kTile * kTile);
    loss += errors<T, width, activation>(p, s, p.y + q, here);
    backward<T, width>(p, s, x, here);
  }
  for (int k = 0; k < weights; ++k) s.w0[k] -= rate0 * s.g0[k];
  for (int j = 0; j < hidden; ++j) s.w1[j] -= rate1 * s.g1[j];
  return loss * (T(1) / T(p.points));
}

template <typename T, int width>
V<T> taken(const Problem<T, width>& p, const Scratch<T>& s, V<T> rate0, V<T> rate1, int activation) {
  if (activation == kTanh) return step<T, width, kTanh>(p, s, rate0, rate1);
  if (activation == kRelu) return step<T, width, kRelu>(p, s, rate0, rate1);
  return step<T, width, kLinear>(p, s, rate0, rate1);
}

template <typename T>
V<T> load(const T* from) {
  V<T> v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// All groups of networks, one after the other.
template <typename T, int width>
void descend(const Problem<T, width>& p, std::size_t groups, std::size_t most, std::size_t count,
             int activation, const T* rates, T* w0, T* w1, T* losses) {
  const std::size_t hidden = p.hidden(), weights = p.inputs() * hidden, lanes = Vector<T>::lanes;
  const std::size_t blocks = 2 * weights + 2 * hidden + 2 * kPoints * hidden + kPoints;
  std::unique_ptr<V<T>[]> memory(new V<T>[blocks]);
  Scratch<T> s;
  s.w0 = memory.get(), s.g0 = s.w0 + weights, s.w1 = s.g0 + weights, s.g1 = s.w1 + hidden;
  s.h = s.g1 + hidden, s.d = s.h + kPoints * hidden, s.f = s.d + kPoints * hidden;
  for (std::size_t g = 0; g < groups; ++g) {
    std::memcpy(s.w0, w0 + g * weights * lanes, weights * sizeof(V<T>));
    std::memcpy(s.w1, w1 + g * hidden * lanes, hidden * sizeof(V<T>));
    const V<T> rate0 = load(rates + g * 2 * lanes), rate1 = load(rates + (g * 2 + 1) * lanes);
    for (std::size_t t = 0; t < count; ++t) {
      const V<T> loss = taken<T, width>(p, s, rate0, rate1, activation);
      std::memcpy(losses + (g * most + t) * lanes, &loss, sizeof loss);
    }
    std::memcpy(w0 + g * weights * lanes, s.w0, weights * sizeof(V<T>));
    std::memcpy(w1 + g * hidden * lanes, s.w1, hidden * sizeof(V<T>));
  }
}

// w0 [G, I, H, L], w1 [G, H, L], rates [G, 2, L], x [N, I], y [N], steps [], all padded ->
// w0 and w1 after `steps` steps, losses [G, S, L] before each of them; beyond them they are zero.
template <typename T, ffi::DataType D>
ffi::Error Descend(ffi::Buffer<D> w0, ffi::Buffer<D> w1, ffi::Buffer<D> rates, ffi::Buffer<D> x,
                   ffi::Buffer<D> y, ffi::Buffer<ffi::S32> steps, std::int64_t points, double in,
                   double out, std::int64_t activation, ffi::ResultBuffer<D> new_w0,
                   ffi::ResultBuffer<D> new_w1, ffi::ResultBuffer<D> losses) {
  const auto shape = w0.dimensions();
  const std::size_t groups = shape[0], most = losses->dimensions()[1];
  const int inputs = shape[1], hidden = shape[2];
  const std::size_t count = std::max(0, steps.typed_data()[0]);
  if (shape[3] != Vector<T>::lanes || count > most || inputs % kTile || hidden % kTile)
    return ffi::Error::InvalidArgument("shallow: shapes do not fit this kernel");
  T *to0 = new_w0->typed_data(), *to1 = new_w1->typed_data(), *to = losses->typed_data();
  if (to0 != w0.typed_data()) std::memcpy(to0, w0.typed_data(), w0.size_bytes());
  if (to1 != w1.typed_data()) std::memcpy(to1, w1.typed_data(), w1.size_bytes());
  std::memset(to, 0, losses->size_bytes());
  const auto run = [&](auto width) {
    const Problem<T, width()> p = {x.typed_data(), y.typed_data(), int(points), T(in),
                                   T(out),         inputs,         hidden};
    descend(p, groups, most, count, int(activation), rates.typed_data(), to0, to1, to);
  };
  if (inputs == kPaper && hidden == kPaper)
    run(std::integral_constant<int, kPaper>());
  else
    run(std::integral_constant<int, 0>());
  return ffi::Error::Success();
}

template <ffi::DataType D>
auto Binding() {
  return ffi::Ffi::Bind()
      .template Arg<ffi::Buffer<D>>()
      .template Arg<ffi::Buffer<D>>()
      .template Arg<ffi::Buffer<D>>()
      .template Arg<ffi::Buffer<D>>()
      .template Arg<ffi::Buffer<D>>()
      .template Arg<ffi::Buffer<ffi::S32>>()
      .template Attr<std::int64_t>("points")
      .template Attr<double>("scale_in")
      .template Attr<double>("scale_out")
      .template Attr<std::int64_t>("activation")
      .template Ret<ffi::Buffer<D>>()
      .template Ret<ffi::Buffer<D>>()
      .template Ret<ffi::Buffer<D>>();
}

}  // namespace

extern "C" int fractaljax_vector_bytes() { return kBytes; }

XLA_FFI_DEFINE_HANDLER_SYMBOL(fractaljax_shallow_float32, (Descend<float, ffi::F32>),
                              Binding<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(fractaljax_shallow_float64, (Descend<double, ffi::F64>),
                              Binding<ffi::F64>());
