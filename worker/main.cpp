#include <cstdio>

int main() {
  std::fputs("usage: zeroth-worker compile|check|run\n", stderr);
  return 2;
}
