// A plain TCP server that counts for whoever asks, a line each, and goes on counting after every edit and crash.
//
//     g++ -std=c++17 -O2 -pthread -o tally worker/examples/tally.cpp
//     zeroth-supervise --protocol --listen tally=7070 --watch tally -- ./tally
//     nc 127.0.0.1 7070
//
// Ask "apples" and "apples 3", edit the answer below, build again, and ask on: neither the count nor a client is lost.
#include <cstdlib>
#include <string>
#include <unordered_map>

#include "../sdk/zeroth.hpp"  // copied beside your program: "zeroth.hpp"

int main() {
  zeroth::Worker w("tally/1");  // says hello

  std::unordered_map<std::string, std::int64_t> counts;
  w.keep("counts", counts);  // living: kept over every edit and crash

  w.command("count", {{"name", "of what; all if absent"}}, "how many were counted", [&](const zeroth::Value& params) {
    const auto section = w.atomic();
    const auto name = params.get<std::string>("name", "");
    std::int64_t sum = 0;
    for (const auto& [each, count] : counts) sum += name.empty() || name == each ? count : 0;
    return zeroth::Object{{"count", sum}};
  });

  w.restore();  // the counts so far; on the first start, none

  // Each connection has a thread, which ends when this returns.
  const auto answer = [&](zeroth::Connection& client) {
    std::string line;
    while (client.read_line(line)) {
      const std::size_t space = line.find(' ');
      const std::string name = line.substr(0, space);
      const int more = space == line.npos ? 1 : std::atoi(line.c_str() + space);
      const auto section = w.atomic();  // a cut falls before or behind: whoever has the answer is in the state
      client.write(name + ": " + std::to_string(counts[name] += more) + "\n");
    }
  };

  const char* port = std::getenv("PORT");
  w.serve("tally", port != nullptr ? std::atoi(port) : 7070, answer);  // on the lent socket, or on this port
}
