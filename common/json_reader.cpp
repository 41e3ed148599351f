#include "common/json_reader.h"

#include <cstdint>
#include <unordered_set>
#include <vector>

namespace zeroth {
namespace {

using Members = std::vector<std::pair<const std::string, Json>>;

// nlohmann's SAX interface: builds the value, counts, and notices duplicate keys in constant time each.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(INT64_MAX))
      return refuse("integer " + std::to_string(value) + " is outside int64");
    return add(static_cast<std::int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t& text) override {
    if (text.find_first_of(".eE") == string_t::npos)
      return refuse("integer " + text.substr(0, 40) + " is outside int64");
    return add(value);
  }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return refuse("binary value"); }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    Level& level = levels_.back();
    level.key = std::move(value);
    if (!level.seen.insert(level.key).second && duplicate.empty()) duplicate = level.key;
    return true;
  }
  bool parse_error(std::size_t position, const std::string& token, const nlohmann::detail::exception& error) override {
    if (!problem.empty()) return false;
    // nlohmann's message has a long prefix, and repeats what it read last, which may be part of a secret.
    std::string what = error.what();
    if (what.find("number overflow") != std::string::npos)
      return refuse("number " + token.substr(0, 40) + " is outside double");
    if (const std::size_t read = what.find("; last read: '"); read != std::string::npos) {
      const std::size_t expected = what.rfind("; expected ");
      what.erase(read, expected == std::string::npos || expected < read ? expected : expected - read);
    }
    const std::size_t reason = what.find(": ");
    return refuse((reason == std::string::npos ? what : what.substr(reason + 2, 160)) + " (byte " +
                  std::to_string(position) + ")");
  }

  Json root;
  std::string problem;
  std::string duplicate;

 private:
  struct Level {
    Json* container;
    std::string key;
    std::unordered_set<std::string> seen;
  };

  bool refuse(std::string why) {
    problem = std::move(why);
    return false;
  }

  bool in_state() const { return state_depth_ != 0; }

  Json* place(Json value) {
    if (levels_.empty()) {
      root = std::move(value);
      return &root;
    }
    Level& level = levels_.back();
    if (level.container->is_array()) {
      level.container->push_back(std::move(value));
      return &level.container->back();
    }
    Json::object_t& object = level.container->get_ref<Json::object_t&>();
    if (!duplicate.empty()) return &(object[level.key] = std::move(value));
    auto& members = static_cast<Members&>(object);  // operator[] would search all members each time
    members.emplace_back(level.key, std::move(value));
    return &members.back().second;
  }

  bool count() {
    if (!levels_.empty() && !in_state() && ++members_ > limits_.members) {
      return refuse("more than " + std::to_string(limits_.members) + " members and elements");
    }
    return true;
  }

  bool add(Json value) {
    if (!count()) return false;
    place(std::move(value));
    return true;
  }

  bool open(Json container) {
    if (!count()) return false;
    const bool is_state = limits_.exempt_state && levels_.size() == 2 && levels_[1].key == "state" &&
                          (levels_[0].key == "result" || levels_[0].key == "params");
    const std::size_t allowed = in_state() || is_state ? 2 * limits_.depth : limits_.depth;
    if (levels_.size() >= allowed) return refuse("nested deeper than " + std::to_string(allowed));
    Json* placed = place(std::move(container));
    levels_.push_back({placed, {}, {}});
    if (is_state && !in_state()) state_depth_ = levels_.size();
    return true;
  }

  bool close() {
    if (levels_.size() == state_depth_) state_depth_ = 0;
    levels_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  std::vector<Level> levels_;
  std::size_t members_ = 0;
  std::size_t state_depth_ = 0;  // number of open levels when /…/state was opened, 0 outside of it
};

std::size_t skip_space(std::string_view text, std::size_t at) {
  while (at < text.size() && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r')) ++at;
  return at;
}

std::size_t skip_string(std::string_view text, std::size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return at + 1;
}

std::size_t skip_value(std::string_view text, std::size_t at) {
  if (text[at] == '"') return skip_string(text, at);
  if (text[at] != '{' && text[at] != '[') return text.find_first_of(",}] \t\r\n", at);
  std::size_t depth = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"') {
      at = skip_string(text, at) - 1;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return at + 1;
    }
  }
  return text.size();
}

}  // namespace

Result<ParsedJson> parse_json(std::string_view text, const JsonLimits& limits) {
  Builder builder(limits);
  // nlohmann would skip a byte order mark; RFC 8259 lets us refuse it.
  if (text.starts_with("\xef\xbb\xbf")) return fail("byte order mark (byte 0)");
  if (!Json::sax_parse(text.begin(), text.end(), &builder))
    return fail(builder.problem.empty() ? "not JSON" : builder.problem);
  return ParsedJson{std::move(builder.root), std::move(builder.duplicate)};
}

std::string_view json_span(std::string_view object, std::string_view key) {
  std::size_t at = skip_space(object, 0);
  if (at >= object.size() || object[at] != '{') return {};
  at = skip_space(object, at + 1);
  std::string_view found;
  while (at < object.size() && object[at] == '"') {
    const std::size_t key_end = skip_string(object, at);
    const std::string_view name = object.substr(at + 1, key_end - at - 2);
    at = skip_space(object, skip_space(object, key_end) + 1);  // behind the colon
    const std::size_t end = std::min(skip_value(object, at), object.size());
    if (name == key) found = object.substr(at, end - at);
    at = skip_space(object, skip_space(object, end) + 1);  // behind the comma
  }
  return found;
}

std::string_view json_span(std::string_view object, std::string_view key, std::string_view inner_key) {
  return json_span(json_span(object, key), inner_key);
}

}  // namespace zeroth
