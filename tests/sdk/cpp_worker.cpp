// The programs that the tests of the C++ library drive, chosen by the first word: cpp_worker NAME [WORD]
#include <unistd.h>

#include <array>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>
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

// Threads that enter sections all the time and catch nothing, also the first. The iteration tells that they moved on.
int busy() {
  zeroth::Worker w("busy/1");
  std::map<std::string, std::int64_t> counts = {{"a", 0}, {"b", 0}};
  w.keep("counts", counts);
  w.restore();
  w.ready();
  const auto count = [&] {
    for (;;) {
      const auto section = w.atomic();
      ++counts["a"], ++counts["b"];
      w.beat(counts["a"]);
    }
  };
  std::thread(count).detach();
  count();
  return 0;
}

// Components: one that keeps its part, one that fails, one that is late, one without a part. `how`: what capture does.
// Or the fifo that its start waits for.
int parts(const std::string& how) {
  zeroth::Worker w("parts/1");
  std::vector<int> warm;
  bool spoilt = false;
  int count = 0;
  w.keep("count", count);
  w.component("cache")
      .start([&](const zeroth::Value& part) {
        if (how == "fails") throw std::runtime_error("of the start");
        if (how[0] == '/') std::ifstream(how).get();  // a fifo: until somebody writes into it
        if (!part.is_null()) warm = part.to<std::vector<int>>();
        print("cache starts with " + zeroth::dumps(part));
      })
      .stop([&] {
        const auto section = w.atomic();
        print("cache stops");
      })
      .capture([&]() -> zeroth::Value {
        const auto section = w.atomic();
        if (spoilt && how == "throws") throw std::runtime_error("no memory of it");
        while (spoilt && how == "hangs") ::pause();
        if (spoilt && how == "unfit") return zeroth::Array{1, "\xff"};
        return zeroth::Array(warm.begin(), warm.end());
      })
      .deadline(how == "hangs" ? 3 : 20);
  w.component("broken").start([] { throw std::runtime_error("no such host"); }).stop([] { print("broken stops"); });
  w.component("slow")
      .start([] {
        for (;;) ::pause();
      })
      .stop([] {
        for (;;) ::pause();
      })
      .deadline(0.02);
  w.component("last").start([] { print("last starts"); }).stop([] { print("last stops"); });
  w.command("put", {{"value", ""}}, "", [&](const zeroth::Value& params) { warm.push_back(params.get("value", 0)); });
  w.command("spoil", {}, "", [&] { spoilt = true; });
  w.command("save", {}, "", [&] { return zeroth::Object{{"sequence", w.save().value_or(0)}}; });
  w.restore();
  w.ready();
  print("live");
  live(w);
  return 0;
}

// Two programs of one shop, whose states become each other's: `number` 1 counts by name, 2 in a list.
int shop(int number, const std::string& how) {
  zeroth::Worker w("shop/" + std::to_string(number));
  std::map<std::string, int> visits;
  std::vector<std::pair<std::string, int>> list;
  if (number == 1) {
    w.keep("visits", visits);
    w.migrate("shop/2", [](zeroth::Value state) {
      zeroth::Object by_name;
      for (const zeroth::Value& each : state["list"].as<zeroth::Array>()) {
        const auto [name, count] = each.to<std::pair<std::string, int>>();
        by_name[name] = count;
      }
      return zeroth::Object{{"visits", by_name}};
    });
  } else {
    w.keep("list", list);
    w.migrate([how](const std::string& from, zeroth::Value state) -> zeroth::Value {
      if (from != "shop/1") throw zeroth::Error("no way from " + from);
      if (how == "no object") return 1;
      zeroth::Value in_list = zeroth::Object{{"list", zeroth::Array()}};
      for (const auto& [name, count] : state["visits"].as<zeroth::Object>())
        in_list["list"].as<zeroth::Array>().push_back(zeroth::Tuple{{name, count}});
      return in_list;
    });
  }
  w.command("visit", {{"name", ""}}, "", [&](const zeroth::Value& params) {
    const auto section = w.atomic();
    const auto name = params.get<std::string>("name", "");
    if (number == 1) return ++visits[name];
    for (auto& [each, count] : list) {
      if (each == name) return ++count;
    }
    return list.emplace_back(name, 1).second;
  });
  w.restore();
  live(w);
  return 0;
}

// Says what it hears of variables.
int settings() {
  zeroth::Worker w("settings/1");
  std::vector<std::string> heard;
  const auto shown = [](const std::optional<std::string>& text) { return text.value_or("(none)"); };
  for (const std::string name : {"LEVEL", "URL", "GONE"}) {
    w.on_env(name, [&, name](const auto& old, const auto& now) {
      const auto section = w.atomic();
      const char* seen = std::getenv(name.c_str());
      heard.push_back(name + ": " + shown(old) + " -> " + shown(now) + (seen != nullptr ? " set" : " unset"));
    });
  }
  w.on_env("URL", [](const auto&, const auto&) { throw std::runtime_error("cannot connect"); });
  w.on_env("HANGS", [](const auto&, const auto&) {
    for (;;) ::pause();
  });
  std::vector<std::string> all;
  w.on_env([&](const std::string& name, const auto&, const auto& now) {
    const auto section = w.atomic();
    all.push_back(name + "=" + shown(now));
  });
  w.command("all", {}, "", [&] {
    const auto section = w.atomic();
    return std::exchange(all, {});
  });
  w.command("heard", {}, "", [&] {
    const auto section = w.atomic();
    return std::exchange(heard, {});
  });
  w.command("shown", {{"name", ""}}, "", [&](const zeroth::Value& params) {
    const char* value = std::getenv(params.get<std::string>("name", "").c_str());
    return zeroth::Object{{"value", value != nullptr ? zeroth::Value(value) : zeroth::Value()}};
  });
  w.restore();
  live(w);
  return 0;
}

int alone() {
  zeroth::Worker w;
  int n = 0;
  w.keep("n", n);
  w.on_stop([] { print("bye"); });
  w.component("part")
      .start([](const zeroth::Value& part) { print(part.is_null() ? "starts" : "starts with a part"); })
      .stop([] { throw std::runtime_error("cannot stop"); })
      .capture([] { return 1; });
  w.restore();
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
  if (name == "parts") return parts(count > 2 ? words[2] : "");
  if (name == "shop") return shop(std::atoi(words[2]), count > 3 ? words[3] : "");
  if (name == "settings") return settings();
  if (name == "values") return values();
  return messages();
}
