// What weak_symbols_test.sh must refuse: an inline function that the compiler had to emit.
namespace potluck::kernels {

inline __attribute__((noinline)) int Inline(int x) { return x + 1; }
int UsesInline(int x) { return Inline(x); }

}  // namespace potluck::kernels
