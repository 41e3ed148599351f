// The programs that the tests of the C++ library drive, chosen by the first word: cpp_worker NAME [WORD]
#include <unistd.h>

#include <array>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "../../worker/sdk/zeroth.hpp"

namespace {

void print(const std::string& line) {
  std::cout << line << std::endl;
}

// What an edit changes: the number that stands behind "STEP " at the end of this program's file, or 1.
int step() {
  std::ifstream self("/proc/self/exe", std::ios::binary);
  self.seekg(-16, std::ios::end);
  const std::string end((std::istreambuf_iterator<char>(self)), std::istreambuf_iterator<char>());
  const std::size_t found = end.find("STEP ");
  return found == end.npos ? 1 : std::atoi(end.c_str() + found + 5);
}

// Lives until it is stopped.
void live(zeroth::Worker& w) {
  while (w.every(3600)) continue;
}

// $LARGE: with so many numbers more. $BAD: with text that cannot be saved.
int counter() {
  zeroth::Worker w("counter/1", "counter");
  const int by_step = step();
  std::int64_t count = 0;
  std::vector<std::int64_t> many;
  std::map<std::string, std::string> names;
  w.keep("count", count);
  if (const char* large = std::getenv("LARGE")) {
    for (int i = 0; i < std::atoi(large); ++i) many.push_back(i);
    w.keep("many", many);
  }
  if (std::getenv("BAD") != nullptr) w.keep("names", names);
  const auto add = [&](const zeroth::Value& params) {
    const auto section = w.atomic();
    count += by_step * params.get("by", std::int64_t{1});
    w.beat(count, {{"count", static_cast<double>(count)}}, "counts");
    return count;
  };
  w.command("inc", {{"by", "how much"}}, "", [&](const zeroth::Value& params) {
    return zeroth::Object{{"count", add(params)}};
  });
  w.command("inc_saved", {}, "", [&] {
    add(zeroth::Object());
    return zeroth::Object{{"sequence", w.save().value_or(0)}, {"count", count}};
  });
  w.command("fail", {}, "", [&] { throw zeroth::Error("no such thing", "not_found", "look elsewhere"); });
  w.command("nothing", {}, "", [] {});
  w.on_stop([] { print("first"); });
  w.on_stop([&] {
    const auto section = w.atomic();
    print("second " + std::to_string(count));
  });
  w.restore();
  names["a/b"] = "\xff";
  print(w.cause + " of generation " + std::to_string(w.generation));
  for (const char* name : {"ZEROTH_FD", "ZEROTH_SOCKET", "ZEROTH_KEY", "ZEROTH_ALIVE", "LISTEN_FDS", "LISTEN_PID"}) {
    if (std::getenv(name) != nullptr) print(std::string("a child would see ") + name);
  }
  live(w);
  return 0;
}

struct Ball {
  double x = 1;
  float v = 0.5;
  std::optional<std::string> name;
  template <class F>
  void zeroth_fields(F& field) {
    field("x", x);
    field("v", v);
    field("name", name);
  }
};
enum class Colour : std::uint8_t { Red, Green };

// Variables of every kind, and a part of the state that no variable keeps.
int kinds() {
  zeroth::Worker w("kinds/1");
  std::vector<Ball> balls(1);
  std::array<std::uint64_t, 2> pair = {1, ~std::uint64_t{0}};
  std::map<int, std::set<std::string>> by_number = {{-1, {"b", "a"}}};
  std::unordered_map<std::string, std::vector<bool>> bits = {{"$bits", {true, false}}};
  std::tuple<std::int8_t, std::string, std::pair<bool, Colour>> mixed = {-5, "x", {true, Colour::Green}};
  zeroth::Value any = zeroth::Array{nullptr, zeroth::Bytes{"ab"}};
  w.keep("balls", balls);
  w.keep("pair", pair);
  w.keep("by_number", by_number);
  w.keep("bits", bits);
  w.keep("mixed", mixed);
  w.keep("any", any);
  zeroth::Object& rest = w.restore(zeroth::Object{{"fresh", zeroth::Array{2}}});
  rest["seen"] = rest.find("old") != nullptr;
  live(w);
  return 0;
}

// A section that ends when somebody opens the fifo `path`, and another thread that waits for it.
int sections(const std::string& path) {
  zeroth::Worker w;
  int steps = 0, late = 0;
  w.keep("steps", steps);
  w.keep("late", late);
  w.restore();
  w.ready();
  std::thread inside([&] {
    const auto section = w.atomic();
    const auto nested = w.atomic();
    ++steps;
    print("inside");
    std::thread([&] {
      print("late begins");
      const auto other = w.atomic();
      ++late;
      print("late was in");
    }).detach();
    std::ifstream fifo(path);
    std::string word;
    fifo >> word;
    ++steps;
  });
  inside.detach();
  live(w);
  return 0;
}

// A section that never ends.
int hang() {
  zeroth::Worker w;
  w.restore();
  w.ready();
  std::thread([&] {
    ::pthread_setname_np(::pthread_self(), "slow one");
    const auto section = w.atomic();
    print("inside");
    for (;;) ::pause();
  }).detach();
  live(w);
  return 0;
}

// Threads that enter sections all the time and catch nothing, also the first.
int busy() {
  zeroth::Worker w("busy/1");
  std::map<std::string, std::int64_t> counts = {{"a", 0}, {"b", 0}};
  w.keep("counts", counts);
  w.restore();
  w.ready();
  std::thread([&] {
    for (;;) {
      const auto section = w.atomic();
      ++counts["a"], ++counts["b"];
    }
  }).detach();
  for (;;) {
    const auto section = w.atomic();
    ++counts["a"], ++counts["b"];
  }
}

int alone() {
  zeroth::Worker w;
  int n = 0;
  w.keep("n", n);
  w.restore();
  w.on_stop([] { print("bye"); });
  while (w.every(0)) {
    const auto section = w.atomic();
    w.beat(++n);
    if (n == 3) break;
  }
  print(std::to_string(n) + (w.save() ? " saved" : " not saved"));
  return 0;
}

// Reads a state, touches it, and writes it; or says what is wrong with it.
int values() {
  const std::string text((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  try {
    zeroth::Value state = zeroth::loads(text);
    if (state.is<zeroth::Object>()) state["touched"] = state.get("touched", 0) + 1;
    if (state != zeroth::loads(zeroth::dumps(state)) && zeroth::dumps(state).find("nan") == std::string::npos) return 2;
    std::cout << zeroth::dumps(state);
    return 0;
  } catch (const zeroth::Error& error) {
    std::cout << error.what();
    return 1;
  }
}

// What is read as a message, with its limits: one line each, "yes" or why not.
int messages() {
  for (std::string line; std::getline(std::cin, line);) {
    zeroth::detail::Parser parser(line, false);
    try {
      parser.whole();
      print(parser.duplicate() ? "twice: " + *parser.duplicate() : "yes");
    } catch (const zeroth::Error& error) {
      print(error.what());
    }
  }
  return 0;
}

}  // namespace

int main(int count, char** words) {
  const std::string name = count > 1 ? words[1] : "counter";
  if (name == "counter") return counter();
  if (name == "kinds") return kinds();
  if (name == "sections") return sections(words[2]);
  if (name == "hang") return hang();
  if (name == "busy") return busy();
  if (name == "alone") return alone();
  if (name == "values") return values();
  return messages();
}
