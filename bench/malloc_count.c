// Counts allocations: preloaded into demarc-bench (scripts/bench.sh), which finds demarc_malloc_count by
// dlsym. It forwards to glibc's own entry points, so nothing is counted twice and nothing recurses.
#include <stddef.h>
#include <stdint.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static _Atomic uint64_t count;

uint64_t demarc_malloc_count(void) { return count; }

void *malloc(size_t n) {
  count++;
  return __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
  count++;
  return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
  count++;
  return __libc_realloc(p, n);
}
void *aligned_alloc(size_t alignment, size_t n) {
  count++;
  return __libc_memalign(alignment, n);
}
int posix_memalign(void **p, size_t alignment, size_t n) {
  count++;
  *p = __libc_memalign(alignment, n);
  return *p ? 0 : 12;
}
