// The cheapest worker there is, for bench_reload: writes one byte to descriptor 3; with an argument it then waits to be
// killed.
#include <unistd.h>

int main(int argc, char** argv) {
  (void)argv;
  if (write(3, "m", 1) != 1) return 1;
  if (argc > 1) pause();
  return 0;
}
