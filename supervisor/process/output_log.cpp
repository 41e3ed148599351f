#include "supervisor/process/output_log.h"

#include <algorithm>

#include "common/text.h"

namespace zeroth {
namespace {

std::size_t cost(const OutputEntry& entry) {
  return sizeof(OutputEntry) + entry.text.size();
}

// The length of `text` without a character that its end has cut in two.
std::size_t whole_characters(std::string_view text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    const std::size_t needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needed > back ? text.size() - back : text.size();
  }
  return text.size();
}

}  // namespace

std::string OutputEntry::shown() const {
  return escape_control(text);
}

OutputLog::OutputLog(std::string worker, Limits limits, std::function<WallTime()> clock)
    : worker_(std::move(worker)), limits_(limits), clock_(std::move(clock)) {}

void OutputLog::feed(std::uint64_t generation, OutputStream stream, std::string_view bytes) {
  const WallTime at = clock_();
  Line& line = open_[{generation, stream}];
  for (;;) {
    const std::size_t end = bytes.find('\n');
    extend(line, bytes.substr(0, end));
    if (end == std::string_view::npos) return;
    add(generation, stream, line, at);
    bytes.remove_prefix(end + 1);
  }
}

void OutputLog::finish(std::uint64_t generation) {
  for (const OutputStream stream : {OutputStream::Stdout, OutputStream::Stderr}) {
    auto left = open_.extract({generation, stream});
    if (!left.empty() && !left.mapped().text.empty()) add(generation, stream, left.mapped(), clock_());
  }
}

void OutputLog::extend(Line& line, std::string_view bytes) const {
  const std::size_t room = kMaxOutputLine - line.text.size();
  const std::string_view kept = line.cut > 0 ? std::string_view() : bytes.substr(0, room);
  line.text += kept;
  line.cut += bytes.size() - kept.size();
}

void OutputLog::add(std::uint64_t generation, OutputStream stream, Line& line, WallTime at) {
  OutputEntry entry{at, generation, stream, std::exchange(line.text, {})};
  if (const std::size_t cut = std::exchange(line.cut, 0); cut > 0) {
    const std::size_t whole = whole_characters(entry.text);
    const std::size_t missing = cut + entry.text.size() - whole;
    entry.text.resize(whole);
    entry.text += " … [" + std::to_string(missing) + " bytes cut]";
  } else if (entry.text.ends_with('\r')) {
    entry.text.pop_back();
  }
  for (std::size_t i = 0; i < subscribers_.size(); ++i) {
    if (const auto call = subscribers_[i].lock()) (*call)(entry);
  }
  bytes_ += cost(entry);
  entries_.push_back(std::move(entry));
  shrink();
}

void OutputLog::shrink() {
  while (bytes_ > limits_.bytes || entries_.size() > limits_.lines) {
    bytes_ -= cost(entries_.front());
    entries_.pop_front();
    ++dropped_;
  }
}

std::vector<OutputEntry> OutputLog::tail(std::size_t count) const {
  const auto kept = static_cast<std::ptrdiff_t>(std::min(count, entries_.size()));
  return {entries_.end() - kept, entries_.end()};
}

std::vector<OutputEntry> OutputLog::since(WallTime time) const {
  std::vector<OutputEntry> found;
  std::copy_if(entries_.begin(), entries_.end(), std::back_inserter(found),
               [&](const auto& e) { return e.at >= time; });
  return found;
}

OutputLog::Subscription OutputLog::subscribe(std::function<void(const OutputEntry&)> on_entry) {
  std::erase_if(subscribers_, [](const auto& subscriber) { return subscriber.expired(); });
  auto subscription = std::make_shared<std::function<void(const OutputEntry&)>>(std::move(on_entry));
  subscribers_.push_back(subscription);
  return subscription;
}

}  // namespace zeroth
