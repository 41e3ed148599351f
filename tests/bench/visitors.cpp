// Visitors of a web shop: visitors PORT REQUESTS PARTS CLIENTS. Each has a session of its own and asks one thing after
// the other, half of them over one kept-alive connection, half over a new one each time. It ends when so many were
// answered or failed and its stdin has ended; when one more of PARTS + 1 parts of REQUESTS is asked it prints the
// number, and at last what it saw, as one line of JSON.
//
// A visitor asks once more, on a new connection, what it asked on a reused one that closed before the first byte of the
// answer (retried). A connection that is refused is tried again after 5 ms. What else goes wrong is failed. The answer
// says which visit of the session it is; what is missing there was acknowledged and lost.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kPatience = 30;  // s for one answer

struct Seen {
  long answered = 0, refused = 0, failed = 0, retried = 0, lost = 0;
  double longest = 0;                   // ms from asking to the answer, with all that came between
  std::map<std::string, long> reasons;  // of what failed

  void add(const Seen& other) {
    answered += other.answered, refused += other.refused, failed += other.failed;
    retried += other.retried, lost += other.lost;
    longest = std::max(longest, other.longest);
    for (const auto& [reason, count] : other.reasons) reasons[reason] += count;
  }
};

std::atomic<long> asked{0};
std::atomic<bool> may_end{false};
long wanted = 0, part = 1;
std::mutex printing;

// One number after the other; a line for each part.
bool takes_another() {
  const long number = ++asked;
  if (number % part == 0 && number <= wanted) {
    const std::lock_guard lock(printing);
    std::printf("%ld\n", number);
    std::fflush(stdout);
  }
  return number <= wanted || !may_end;
}

class Visitor {
 public:
  Visitor(int port, int number, bool keeps) : port_(port), keeps_(keeps) {
    const std::string session = (keeps ? "kept" : "new") + std::to_string(number);
    request_ = "GET /" + session + "?sid=" + session + " HTTP/1.1\r\nHost: shop\r\n" +
               (keeps ? "" : "Connection: close\r\n") + "\r\n";
  }

  Seen visit() {
    while (takes_another()) {
      const auto began = Clock::now();
      const long visit = ask();
      seen_.longest = std::max(seen_.longest, std::chrono::duration<double, std::milli>(Clock::now() - began).count());
      if (visit == 0) continue;
      ++seen_.answered;
      seen_.lost += std::max(0L, acknowledged_ + 1 - visit);
      acknowledged_ = visit;
    }
    hang_up();
    return seen_;
  }

 private:
  enum class Outcome { Answered, Refused, ClosedBefore, Failed };

  // The number of the visit; 0 if it failed.
  long ask() {
    const auto until = Clock::now() + std::chrono::seconds(kPatience);
    bool again = false;
    for (;;) {
      const bool reused = socket_ >= 0;
      const Outcome outcome = attempt();
      if (outcome == Outcome::Answered) return visit_;
      hang_up();
      if (outcome == Outcome::Refused && Clock::now() < until) {
        ++seen_.refused;
        ::poll(nullptr, 0, 5);
      } else if (outcome == Outcome::ClosedBefore && reused && !again) {
        ++seen_.retried;
        again = true;
      } else {
        ++seen_.failed;
        ++seen_.reasons[outcome == Outcome::ClosedBefore
                            ? "closed before the answer: " + std::string(std::strerror(errno))
                            : reason_];
        return 0;
      }
    }
  }

  Outcome attempt() {
    if (socket_ < 0 && !connect()) return errno == ECONNREFUSED ? Outcome::Refused : fail(std::strerror(errno));
    errno = 0;
    if (::send(socket_, request_.data(), request_.size(), MSG_NOSIGNAL) < 0) return Outcome::ClosedBefore;
    std::string text;
    std::size_t head = text.npos, size = text.npos;
    char buffer[4096];
    while (head == text.npos || size == text.npos || text.size() < head + size) {
      const ssize_t got = ::recv(socket_, buffer, sizeof buffer, 0);
      if (got <= 0 && text.empty() && errno != EAGAIN) return Outcome::ClosedBefore;
      if (got < 0) return fail(errno == EAGAIN ? "no answer in time" : "broken in the answer");
      if (got == 0) {
        if (head == text.npos || size != text.npos) return fail("half an answer");
        break;
      }
      text.append(buffer, static_cast<std::size_t>(got));
      if (head == text.npos && (head = text.find("\r\n\r\n")) != text.npos) {
        head += 4;
        std::string lower = text.substr(0, head);
        for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        const std::size_t length = lower.find("content-length: ");
        if (length != lower.npos) size = std::strtoul(lower.c_str() + length + 16, nullptr, 10);
        closes_ = lower.find("connection: close") != lower.npos;
      }
    }
    if (text.compare(9, 3, "200") != 0) return fail("status " + text.substr(9, 3));
    const std::size_t visit = text.rfind("visit ");
    if (visit == text.npos) return fail("another answer");
    visit_ = std::strtol(text.c_str() + visit + 6, nullptr, 10);
    if (closes_ || !keeps_ || size == text.npos) hang_up();
    return Outcome::Answered;
  }

  Outcome fail(const std::string& why) {
    reason_ = why;
    return Outcome::Failed;
  }

  bool connect() {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    const timeval patience{kPatience, 0};
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<std::uint16_t>(port_));
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return ::connect(socket_, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0;
  }

  void hang_up() {
    const int error = errno;
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
    errno = error;
  }

  int port_;
  bool keeps_, closes_ = false;
  int socket_ = -1;
  long visit_ = 0, acknowledged_ = 0;
  std::string request_, reason_;
  Seen seen_;
};

}  // namespace

int main(int count, char** words) {
  if (count != 5) {
    std::fputs("usage: visitors PORT REQUESTS PARTS CLIENTS\n", stderr);
    return 2;
  }
  wanted = std::atol(words[2]);
  part = std::max(1L, wanted / (std::atol(words[3]) + 1));
  std::mutex adding;
  Seen all;
  std::vector<std::thread> threads;
  const auto began = Clock::now();
  for (int i = 0; i < std::atoi(words[4]); ++i) {
    threads.emplace_back([&, i] {
      const Seen seen = Visitor(std::atoi(words[1]), i, i % 2 == 0).visit();
      const std::lock_guard lock(adding);
      all.add(seen);
    });
  }
  char byte = 0;
  while (::read(0, &byte, 1) > 0) continue;
  may_end = true;
  for (std::thread& each : threads) each.join();
  std::string reasons;
  for (const auto& [reason, times] : all.reasons)
    reasons += (reasons.empty() ? "\"" : ",\"") + reason + "\":" + std::to_string(times);
  std::printf(
      "{\"answered\":%ld,\"refused\":%ld,\"failed\":%ld,\"retried\":%ld,\"lost\":%ld,\"longest_ms\":%.1f,"
      "\"seconds\":%.2f,\"reasons\":{%s}}\n",
      all.answered, all.refused, all.failed, all.retried, all.lost, all.longest,
      std::chrono::duration<double>(Clock::now() - began).count(), reasons.c_str());
}
