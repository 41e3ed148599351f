// Speed of the VM as ratios taken in one run: steps against a hand-written C loop in declared order, the state document
// against memcpy. Medians of eleven.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <random>

#include "worker/vm/json_reader.h"
#include "worker/vm/state_codec.h"
#include "worker/vm/vm.h"

namespace zeroth {
namespace {

constexpr int kRounds = 11;

// Of this thread's processor time: neighbours on a shared machine do not count.
double now() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}
double seconds_of(const auto& work) {
  const double start = now();
  work();
  return now() - start;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + kRounds / 2, values.end());
  return values[kRounds / 2];
}

Program random_program(std::size_t states, std::size_t alignments) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> unit(0, 1);
  Program program;
  for (std::size_t i = 0; i < states; ++i) program.states.push_back("S" + std::to_string(i));
  for (std::size_t i = 0; i < alignments; ++i) {
    const auto a = static_cast<std::uint32_t>(random() % states);
    program.alignments.push_back(
        {a, static_cast<std::uint32_t>((a + 1 + random() % (states - 1)) % states), unit(random)});
  }
  program.epsilon = 1e-300;
  program.seed_potential = true;
  return program;
}

// The loop one would write: the same work, without the VM.
struct PlainLoop {
  std::vector<Alignment> alignments;
  std::vector<double> d;
  double decay = 0.9930924954370359, pressure = 0, epsilon = 0;
  std::uint64_t iteration = 0, collapses = 0;

  __attribute__((noinline)) void step() {
    double* field = d.data();
    const std::size_t count = d.size();
    for (const Alignment& x : alignments) {
      const double delta = x.strength * (field[x.b] - field[x.a]);
      field[x.a] += delta;
      field[x.b] -= delta;
    }
    double sum = 0, largest = 0;
    for (std::size_t k = 0; k < count; ++k) sum += field[k];
    const double mean = sum / static_cast<double>(count);
    for (std::size_t k = 0; k < count; ++k) {
      field[k] = (field[k] - mean) * decay;
      const double magnitude = std::fabs(field[k]);
      if (magnitude > largest) largest = magnitude;
    }
    pressure *= decay;
    ++iteration;
    if (largest + pressure < epsilon) ++collapses, field[0] -= 1;
  }
};

// Divergences halve every 100 steps and would reach the subnormal numbers; a push now and then keeps both sides normal.
constexpr int kPush = 20000;

void bench_steps(std::size_t states) {
  const Program program = random_program(states, 4 * states);
  Vm vm = Vm::create(program);
  PlainLoop loop{program.alignments, vm.state().divergence};
  const int steps = static_cast<int>(std::max<std::size_t>(20, 6'000'000 / states));
  std::vector<double> ours, plain;
  for (int round = 0; round < kRounds; ++round) {
    ours.push_back(seconds_of([&] {
      for (int i = 0; i < steps; ++i) {
        if (i % kPush == 0) (void)vm.inject("S0", 1);
        vm.step();
      }
    }));
    plain.push_back(seconds_of([&] {
      for (int i = 0; i < steps; ++i) {
        if (i % kPush == 0) loop.d[0] += 1;
        loop.step();
      }
    }));
  }
  const double mine = steps / median(ours), theirs = steps / median(plain);
  std::printf("%10zu states  %12.0f steps/s   plain loop %12.0f   ratio %.2f\n", states, mine, theirs, mine / theirs);
}

void bench_document(std::size_t states) {
  Program program = random_program(states, 4 * states);
  Vm vm = Vm::create(program);
  for (int i = 0; i < 3; ++i) vm.step();
  std::string document = encode_state(vm.state());
  double bytes = static_cast<double>(3 * states) * sizeof(double);
  for (const std::string& name : vm.state().states) bytes += static_cast<double>(name.size());
  std::vector<double> copy, text, sink, decode, restore;
  std::vector<char> target(static_cast<std::size_t>(bytes)), source(target.size(), 1);
  for (int round = 0; round < kRounds; ++round) {
    copy.push_back(seconds_of([&] { std::memcpy(target.data(), source.data(), target.size()); }));
    text.push_back(seconds_of([&] { document = encode_state(vm.state()); }));
    std::size_t length = 0;
    sink.push_back(seconds_of([&] {
      (void)encode_state(vm.state(), [&](std::string_view piece) -> Status {
        length += piece.size();
        return {};
      });
    }));
    State state;
    decode.push_back(seconds_of([&] { state = std::move(decode_state(document, vm.state().states).value()); }));
    Vm other = Vm::create(program);
    restore.push_back(seconds_of([&] { other.restore(std::move(state)); }));
  }
  const auto speed = [&](const std::vector<double>& times) { return bytes / median(times) / 1e9; };
  std::printf(
      "%10zu states  %.1f MB of state, %.1f MB of document; GB/s of state: memcpy %.2f, encode to a string %.2f, "
      "to a sink %.2f, decode %.2f, restore %.2f\n",
      states, bytes / 1e6, static_cast<double>(document.size()) / 1e6, speed(copy), speed(text), speed(sink),
      speed(decode), speed(restore));
}

// The large arrays alone, without names.
void bench_array(std::size_t elements) {
  const std::vector<double> values(elements, 0.1);
  std::vector<double> back, encode, decode;
  std::string text;
  for (int round = 0; round < kRounds; ++round) {
    text.clear();
    encode.push_back(seconds_of([&] { JsonWriter(text).numbers(std::span<const double>(values)); }));
    decode.push_back(seconds_of([&] { JsonReader(text).numbers(back, 1); }));
  }
  const double bytes = static_cast<double>(elements) * sizeof(double) / 1e9;
  std::printf("%10zu doubles alone: GB/s encode %.2f, decode %.2f\n", elements, bytes / median(encode),
              bytes / median(decode));
}

}  // namespace
}  // namespace zeroth

int main() {
  for (const std::size_t states : {3, 1000, 100'000, 1'000'000}) zeroth::bench_steps(states);
  for (const std::size_t states : {3, 1000, 1'000'000}) zeroth::bench_document(states);
  zeroth::bench_array(3'000'000);
}
