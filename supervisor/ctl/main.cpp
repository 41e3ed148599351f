#include "supervisor/ctl/run.h"

int main(int argc, char** argv) {
  return zeroth::run_ctl(argc, argv);
}
