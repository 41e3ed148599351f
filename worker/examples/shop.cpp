// A web shop that counts the visits of each session and keeps them over every edit and crash.
//
//     g++ -std=c++17 -O2 -pthread -o shop worker/examples/shop.cpp
//     zeroth-supervise --protocol --listen 8080 --watch shop -- ./shop
//     curl http://127.0.0.1:8080/alice
//
// Edit the greeting below, build again, and ask on: the count goes on.
#include <cstdlib>
#include <string>
#include <unordered_map>

#include "../sdk/zeroth.hpp"  // copied beside your program: "zeroth.hpp"

// The path of the next GET, its head read to the end; false at the end of the connection, or of what is understood
// here.
bool read_request(zeroth::Connection& client, std::string& path, bool& close) {
  std::string line;
  if (!client.read_line(line)) return false;
  const std::size_t from = line.find(' ') + 1, to = line.find(' ', from);
  if (line.rfind("GET /", 0) != 0 || to == line.npos) return false;
  path = line.substr(from + 1, to - from - 1);
  for (close = line.find("HTTP/1.0") != line.npos; client.read_line(line) && line != "\r" && !line.empty();) {
    for (char& c : line) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (line.rfind("connection: close", 0) == 0) close = true;
  }
  return line == "\r" || line.empty();
}

std::string response(const std::string& body, bool close) {
  return std::string("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n") +
         (close ? "Connection: close\r\n" : "") + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

int main() {
  zeroth::Worker w("shop/1");  // says hello

  std::unordered_map<std::string, std::int64_t> visits;
  w.keep("visits", visits);  // living: kept over every edit and crash

  w.restore();  // the visits so far; on the first start, none

  // Each connection has a thread, which ends when this returns.
  const auto serve = [&](zeroth::Connection& client) {
    std::string session;
    for (bool close = false; !close && read_request(client, session, close);) {
      close = close || client.closing();
      const auto section = w.atomic();  // a cut falls before or behind: whoever has the answer is in the state
      const std::int64_t count = ++visits[session];
      client.write(response("Welcome, " + session + ": visit " + std::to_string(count) + "\n", close));
    }
  };

  const char* port = std::getenv("PORT");
  w.serve("http", port != nullptr ? std::atoi(port) : 8080, serve);  // on the lent socket, or on this port
}
