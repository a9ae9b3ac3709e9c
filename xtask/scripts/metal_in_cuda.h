// What naga's Metal code uses of Metal's library, for CUDA, so that NVIDIA's compiler can read it. Vectors are structs whose
// operators work on each component; they have Metal's alignment, and so are loaded and stored whole.

typedef unsigned int uint;
typedef unsigned short ushort;

template <class T> struct alignas(2 * sizeof(T)) vec2 {
    T x, y;
    vec2() = default;
    constexpr vec2(T x, T y) : x(x), y(y) {}
    constexpr explicit vec2(T all) : x(all), y(all) {}
    template <class U> constexpr explicit vec2(vec2<U> v) : x(T(v.x)), y(T(v.y)) {}
    T& operator[](uint i) { return (&x)[i]; }
    const T& operator[](uint i) const { return (&x)[i]; }
};

template <class T> struct vec3 {
    T x, y, z;
};

template <class T> struct alignas(4 * sizeof(T)) vec4 {
    T x, y, z, w;
    vec4() = default;
    constexpr vec4(T x, T y, T z, T w) : x(x), y(y), z(z), w(w) {}
    constexpr explicit vec4(T all) : x(all), y(all), z(all), w(all) {}
    constexpr vec4(vec2<T> low, vec2<T> high) : x(low.x), y(low.y), z(high.x), w(high.y) {}
    constexpr vec4(T x, T y, vec2<T> high) : x(x), y(y), z(high.x), w(high.y) {}
    constexpr vec4(T x, vec3<T> high) : x(x), y(high.x), z(high.y), w(high.z) {}
    constexpr vec4(vec3<T> low, T w) : x(low.x), y(low.y), z(low.z), w(w) {}
    template <class U> constexpr explicit vec4(vec4<U> v) : x(T(v.x)), y(T(v.y)), z(T(v.z)), w(T(v.w)) {}
    // `v.xy` becomes `v.get_xy()`, and so on.
    constexpr vec2<T> get_xy() const { return {x, y}; }
    constexpr vec2<T> get_zw() const { return {z, w}; }
    constexpr vec3<T> get_xyz() const { return {x, y, z}; }
    constexpr vec3<T> get_yzw() const { return {y, z, w}; }
    constexpr vec4<T> get_yzwx() const { return {y, z, w, x}; }
    T& operator[](uint i) { return (&x)[i]; }
    const T& operator[](uint i) const { return (&x)[i]; }
};

#define BINARY(op) \
    template <class T> vec2<T> operator op(vec2<T> a, vec2<T> b) { return {T(a.x op b.x), T(a.y op b.y)}; } \
    template <class T> vec2<T> operator op(vec2<T> a, T b) { return a op vec2<T>(b); } \
    template <class T> vec2<T> operator op(T a, vec2<T> b) { return vec2<T>(a) op b; } \
    template <class T> vec4<T> operator op(vec4<T> a, vec4<T> b) { \
        return {T(a.x op b.x), T(a.y op b.y), T(a.z op b.z), T(a.w op b.w)}; \
    } \
    template <class T> vec4<T> operator op(vec4<T> a, T b) { return a op vec4<T>(b); } \
    template <class T> vec4<T> operator op(T a, vec4<T> b) { return vec4<T>(a) op b; }
BINARY(+) BINARY(-) BINARY(*) BINARY(/) BINARY(%) BINARY(&) BINARY(|) BINARY(^)

#define SHIFT(op) \
    template <class T> vec2<T> operator op(vec2<T> a, vec2<uint> b) { return {a.x op b.x, a.y op b.y}; } \
    template <class T> vec4<T> operator op(vec4<T> a, vec4<uint> b) { \
        return {a.x op b.x, a.y op b.y, a.z op b.z, a.w op b.w}; \
    }
SHIFT(<<) SHIFT(>>)

#define COMPARISON(op) \
    template <class T> vec2<bool> operator op(vec2<T> a, vec2<T> b) { return {a.x op b.x, a.y op b.y}; } \
    template <class T> vec4<bool> operator op(vec4<T> a, vec4<T> b) { \
        return {a.x op b.x, a.y op b.y, a.z op b.z, a.w op b.w}; \
    }
COMPARISON(==) COMPARISON(!=) COMPARISON(<) COMPARISON(>) COMPARISON(<=) COMPARISON(>=)

#define UNARY(op) \
    template <class T> vec2<T> operator op(vec2<T> a) { return {T(op a.x), T(op a.y)}; } \
    template <class T> vec4<T> operator op(vec4<T> a) { return {T(op a.x), T(op a.y), T(op a.z), T(op a.w)}; }
UNARY(-) UNARY(~) UNARY(!)

// f16, which is only ever converted.
struct half {
    ushort bits;
    half() = default;
    explicit half(float x) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x)); }
    explicit operator float() const {
        float x;
        asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
        return x;
    }
};

template <class T, class U> T as_type(U from) {
    static_assert(sizeof(T) == sizeof(U), "as_type between types of different sizes");
    T to;
    memcpy(&to, &from, sizeof(T));
    return to;
}

namespace metal {
using ::uint;
using ::half;
typedef vec2<uint> uint2;
typedef vec2<int> int2;
typedef vec2<float> float2;
typedef vec2<half> half2;
typedef vec2<bool> bool2;
typedef vec4<uint> uint4;
typedef vec4<int> int4;
typedef vec4<float> float4;
typedef vec4<half> half4;
typedef vec4<bool> bool4;
struct uint3 { uint x, y, z; };

inline float one_max(float a, float b) { return fmaxf(a, b); }
inline float one_min(float a, float b) { return fminf(a, b); }
template <class T> T one_max(T a, T b) { return a > b ? a : b; }
template <class T> T one_min(T a, T b) { return a < b ? a : b; }

// Of scalars, then of vectors.
#define FUNCTION_1(name, f) \
    template <class T> T name(T a) { return f(a); } \
    template <class T> vec2<T> name(vec2<T> a) { return {T(f(a.x)), T(f(a.y))}; } \
    template <class T> vec4<T> name(vec4<T> a) { return {T(f(a.x)), T(f(a.y)), T(f(a.z)), T(f(a.w))}; }
FUNCTION_1(exp, __expf) FUNCTION_1(exp2, exp2f) FUNCTION_1(log, __logf) FUNCTION_1(log2, __log2f)
FUNCTION_1(sqrt, sqrtf) FUNCTION_1(rsqrt, rsqrtf) FUNCTION_1(tanh, tanhf)
FUNCTION_1(floor, floorf) FUNCTION_1(ceil, ceilf) FUNCTION_1(trunc, truncf) FUNCTION_1(rint, rintf)
FUNCTION_1(abs, ::abs) FUNCTION_1(popcount, __popc) FUNCTION_1(clz, __clz) FUNCTION_1(reverse_bits, __brev)

#define FUNCTION_2(name, f) \
    template <class T> T name(T a, T b) { return f(a, b); } \
    template <class T> vec2<T> name(vec2<T> a, vec2<T> b) { return {f(a.x, b.x), f(a.y, b.y)}; } \
    template <class T> vec4<T> name(vec4<T> a, vec4<T> b) { \
        return {f(a.x, b.x), f(a.y, b.y), f(a.z, b.z), f(a.w, b.w)}; \
    }
FUNCTION_2(max, one_max) FUNCTION_2(min, one_min)

inline float fma(float a, float b, float c) { return fmaf(a, b, c); }
template <class V> V fma4(V a, V b, V c) {
    return {fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y), fmaf(a.z, b.z, c.z), fmaf(a.w, b.w, c.w)};
}
inline float2 fma(float2 a, float2 b, float2 c) { return {fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y)}; }
inline float4 fma(float4 a, float4 b, float4 c) { return fma4(a, b, c); }

template <class T> T clamp(T x, T low, T high) { return min(max(x, low), high); }

template <class T> T select(T a, T b, bool c) { return c ? b : a; }
template <class T> vec2<T> select(vec2<T> a, vec2<T> b, bool2 c) { return {c.x ? b.x : a.x, c.y ? b.y : a.y}; }
template <class T> vec4<T> select(vec4<T> a, vec4<T> b, bool4 c) {
    return {c.x ? b.x : a.x, c.y ? b.y : a.y, c.z ? b.z : a.z, c.w ? b.w : a.w};
}
inline bool any(bool2 a) { return a.x | a.y; }
inline bool all(bool2 a) { return a.x & a.y; }
inline bool any(bool4 a) { return a.x | a.y | a.z | a.w; }
inline bool all(bool4 a) { return a.x & a.y & a.z & a.w; }
inline float dot(float4 a, float4 b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }

const uint ALL_LANES = 0xffffffffu;
template <class T> T simd_shuffle_xor(T x, uint mask) { return __shfl_xor_sync(ALL_LANES, x, mask); }
template <class T> T simd_shuffle(T x, uint lane) { return __shfl_sync(ALL_LANES, x, lane); }
template <class T> T simd_broadcast_first(T x) { return __shfl_sync(ALL_LANES, x, 0); }
template <class T> T simd_sum(T x) {
    for (int stride = 16; stride > 0; stride /= 2) x += simd_shuffle_xor(x, stride);
    return x;
}
template <class T> T simd_max(T x) {
    for (int stride = 16; stride > 0; stride /= 2) x = one_max(x, simd_shuffle_xor(x, stride));
    return x;
}
template <class T> T simd_min(T x) {
    for (int stride = 16; stride > 0; stride /= 2) x = one_min(x, simd_shuffle_xor(x, stride));
    return x;
}

enum class mem_flags { mem_none, mem_device, mem_threadgroup };
inline void threadgroup_barrier(mem_flags) { __syncthreads(); }
inline void simdgroup_barrier(mem_flags) { __syncwarp(); }

enum memory_order { memory_order_relaxed };
struct atomic_uint { uint value; };
inline uint atomic_load_explicit(const atomic_uint* x, memory_order) { return *(const volatile uint*)&x->value; }
inline void atomic_store_explicit(atomic_uint* x, uint y, memory_order) { *(volatile uint*)&x->value = y; }
inline uint atomic_fetch_add_explicit(atomic_uint* x, uint y, memory_order) { return atomicAdd(&x->value, y); }
inline uint atomic_fetch_max_explicit(atomic_uint* x, uint y, memory_order) { return atomicMax(&x->value, y); }
inline uint atomic_fetch_or_explicit(atomic_uint* x, uint y, memory_order) { return atomicOr(&x->value, y); }
} // namespace metal
