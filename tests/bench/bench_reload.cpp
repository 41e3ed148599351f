// How long from a save, and from a kill -9, to the next live generation, as ratios to a C floor taken in the same run,
// turn by turn: bench_reload [rounds, default 31]. Medians and 95th percentiles. Ours is taken when the `reload` event
// arrives: after the cut was made durable and the old process was told to stop. `live` is the sum of the receipt's
// steps up to the answer to `go`.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/clock.h"
#include "tests/bench/floor.h"
#include "tests/bench/supervised.h"

namespace zeroth {
namespace {

using Times = std::vector<double>;

double ms_since(MonotonicTime start) {
  return std::chrono::duration<double, std::milli>(monotonic_now() - start).count();
}

double quantile(Times times, double part) {
  std::sort(times.begin(), times.end());
  return times.empty() ? 0 : times[static_cast<std::size_t>(part * static_cast<double>(times.size() - 1) + 0.5)];
}

struct Measured {
  Times floor, ours;
  std::map<std::string, Times> parts;  // of the receipts

  void take(const Json& receipt) {
    double live = 0;
    for (const auto& [name, ms] : receipt["ms"].items()) {
      parts[name].push_back(ms.get<double>());
      if (name != "total" && name != "pause") live += ms.get<double>();
    }
    parts["live"].push_back(live);
  }
  void print(const char* what) const {
    const double ground = quantile(floor, 0.5), mine = quantile(ours, 0.5);
    std::printf("%-28s floor %6.2f ms (p95 %6.2f)   zeroth-supervise %6.2f ms (p95 %6.2f)   ratio %5.2f\n", what,
                ground, quantile(floor, 0.95), mine, quantile(ours, 0.95), mine / ground);
    std::printf("    parts, medians in ms:");
    for (const char* name : {"settle", "start", "drain", "checkpoint", "restore", "go", "live", "pause", "total"}) {
      if (const auto found = parts.find(name); found != parts.end())
        std::printf("  %s %.2f", name, quantile(found->second, 0.5));
    }
    std::printf("\n");
  }
};

Measured measure_edits(Supervised& supervised, const std::string& mark, int rounds) {
  Floor floor(Floor::Waits::ForClose, mark, supervised.path("floor.zero"));
  Measured measured;
  for (int round = 1; round <= rounds; ++round) {
    supervised.settle();
    UniqueFd plain(::open(supervised.path("floor.zero").c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    if (::write(plain.get(), "x\n", 2) != 2) std::exit(1);
    MonotonicTime start = monotonic_now();
    plain.reset();
    floor.await_mark();
    measured.floor.push_back(ms_since(start));

    supervised.settle();
    UniqueFd program = supervised.write_program(round);
    start = monotonic_now();
    program.reset();
    const std::string line = supervised.next_event("reload");
    measured.ours.push_back(ms_since(start));
    measured.take(payload_of(line));
  }
  return measured;
}

Measured measure_kills(Supervised& supervised, const std::string& mark, int rounds) {
  Floor floor(Floor::Waits::ForDeath, mark, "");
  Measured measured;
  for (int round = 0; round < rounds; ++round) {
    supervised.settle();
    MonotonicTime start = monotonic_now();
    ::kill(floor.child(), SIGKILL);
    floor.await_mark();
    measured.floor.push_back(ms_since(start));

    supervised.write_program(-1 - round).reset();  // a new generation owes nothing: no back-off is measured
    supervised.next_event("reload");
    supervised.settle();
    const pid_t worker = supervised.worker_pid();
    start = monotonic_now();
    ::kill(worker, SIGKILL);
    const std::string line = supervised.next_event("reload");
    measured.ours.push_back(ms_since(start));
    measured.take(payload_of(line));
  }
  return measured;
}

}  // namespace
}  // namespace zeroth

int main(int argc, char** argv) try {
  using namespace zeroth;
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 31;
  const std::string bin = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
  Supervised supervised(bin);
  UniqueFd(::open(supervised.path("floor.zero").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)).reset();
  std::printf("%d rounds each, a program of three states\n", rounds);
  measure_edits(supervised, bin + "/bench_mark", rounds).print("save -> next generation live");
  measure_kills(supervised, bin + "/bench_mark", rounds).print("kill -9 -> next one live");
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
