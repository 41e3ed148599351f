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

// The length of a control sequence (ECMA-48) that begins here and ends with `last`, 0: none.
std::size_t sequence_length(std::string_view text, std::size_t at, char last) {
  if (!text.substr(at).starts_with("\x1b[")) return 0;
  const std::size_t end = text.find_first_not_of("0123456789;:", at + 2);
  return end != std::string_view::npos && text[end] == last ? end + 1 - at : 0;
}

// Escapes what is no colour and no tab; erasing to the end of the line, which often follows a colour, means nothing
// here.
std::string escape_uncoloured(std::string_view text, bool keep) {
  std::string out;
  bool coloured = false;
  std::size_t plain = 0;  // up to here it is in `out`
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t colour = sequence_length(text, at, 'm');
    const std::size_t erasing = colour > 0 ? 0 : sequence_length(text, at, 'K');
    const bool tab = keep && text[at] == '\t';
    if (colour + erasing == 0 && !tab) {
      ++at;
      continue;
    }
    out += escape_control(text.substr(plain, at - plain));
    if (keep && (tab || colour > 0)) out += text.substr(at, tab ? 1 : colour);
    coloured = coloured || colour > 0;
    at += tab ? 1 : colour + erasing;
    plain = at;
  }
  out += escape_control(text.substr(plain));
  return keep && coloured ? out + "\x1b[0m" : out;
}

}  // namespace

std::string OutputEntry::shown() const {
  return on_terminal ? escape_uncoloured(text, false) : escape_control(text);
}

std::string OutputEntry::shown_in_colour() const {
  return escape_uncoloured(text, true);
}

OutputLog::OutputLog(std::string worker, Limits limits, std::function<WallTime()> clock)
    : worker_(std::move(worker)), limits_(limits), clock_(std::move(clock)) {}

void OutputLog::feed(std::uint64_t generation, OutputStream stream, std::string_view bytes) {
  if (tap_) tap_(bytes);
  const WallTime at = clock_();
  last_fed_ = {generation, stream};
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
  if (!on_terminal_) return append(line, bytes);
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\r');
    if (line.returned && end != 0) line = {};
    append(line, bytes.substr(0, end));
    if (end == std::string_view::npos) return;
    line.returned = true;
    bytes.remove_prefix(end + 1);
  }
}

void OutputLog::append(Line& line, std::string_view bytes) const {
  const std::size_t room = kMaxOutputLine - line.text.size();
  const std::string_view kept = line.cut > 0 ? std::string_view() : bytes.substr(0, room);
  line.text += kept;
  line.cut += bytes.size() - kept.size();
}

void OutputLog::add(std::uint64_t generation, OutputStream stream, Line& line, WallTime at) {
  OutputEntry entry{at, generation, stream, std::exchange(line.text, {}), on_terminal_};
  line.returned = false;
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

std::optional<OutputEntry> OutputLog::open_line() const {
  const auto found = open_.find(last_fed_);
  if (found == open_.end() || found->second.text.empty()) return std::nullopt;
  return OutputEntry{clock_(), last_fed_.first, last_fed_.second, found->second.text, on_terminal_};
}

OutputLog::Subscription OutputLog::subscribe(std::function<void(const OutputEntry&)> on_entry) {
  std::erase_if(subscribers_, [](const auto& subscriber) { return subscriber.expired(); });
  auto subscription = std::make_shared<std::function<void(const OutputEntry&)>>(std::move(on_entry));
  subscribers_.push_back(subscription);
  return subscription;
}

}  // namespace zeroth
