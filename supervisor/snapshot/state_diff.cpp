#include "supervisor/snapshot/state_diff.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/snapshot/diff_collector.h"

namespace zeroth {
namespace {

constexpr std::size_t kMostIndexed = 4'000'000;  // members: 64 MiB
constexpr int kDeepestCompared = 200;

// A number as sign, digits without zeros at either end, and the power of ten of its last digit.
struct Decimal {
  bool negative = false;
  std::string digits;
  std::int64_t exponent = 0;
  bool operator==(const Decimal&) const = default;
};

Decimal decimal_of(std::string_view text) {
  Decimal number;
  number.negative = text.starts_with('-');
  bool fraction = false;
  std::size_t at = number.negative ? 1 : 0;
  for (; at < text.size() && text[at] != 'e' && text[at] != 'E'; ++at) {
    fraction = fraction || text[at] == '.';
    if (text[at] == '.') continue;
    number.digits.push_back(text[at]);
    if (fraction) --number.exponent;
  }
  if (at < text.size()) {
    const std::size_t digits = at + (text[at + 1] == '+' ? 2 : 1);
    std::int64_t exponent = 0;
    std::from_chars(text.data() + digits, text.data() + text.size(), exponent);
    number.exponent += exponent;
  }
  number.digits.erase(0, std::min(number.digits.find_first_not_of('0'), number.digits.size()));
  while (number.digits.ends_with('0')) {
    number.digits.pop_back();
    ++number.exponent;
  }
  return number.digits.empty() ? Decimal{} : number;
}

std::optional<double> as_real(std::string_view text) {
  if (text.find_first_of(".eE") == std::string_view::npos) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

std::string escaped(std::string_view name) {
  std::string text;
  for (const char c : name) {
    if (c == '~') {
      text += "~0";
    } else if (c == '/') {
      text += "~1";
    } else {
      text += c;
    }
  }
  return text;
}

// Walks both texts at once. Each step leaves both behind the value it compared; false: failed.
class Walk {
 public:
  Walk(JsonScan& a, JsonScan& b, const std::set<std::string, std::less<>>& except) : a_(a), b_(b), except_(except) {}

  Result<StateDiff> run() {
    const bool done = compare(0) && a_.at_end() && b_.at_end();
    if (!status_) return fail(std::move(status_.error()));
    if (a_.failed()) return fail(Error(a_.error()).in("the state of a"));
    if (b_.failed()) return fail(Error(b_.error()).in("the state of b"));
    if (!done) return fail("the states cannot be compared");
    return collector_.take();
  }

 private:
  struct Indexed {
    std::uint64_t hash, name_at;
    auto operator<=>(const Indexed&) const = default;
  };
  enum class Shape { Object, Array, Text, Word };

  static Shape shape_of(int c) {
    return c == '{' ? Shape::Object : c == '[' ? Shape::Array : c == '"' ? Shape::Text : Shape::Word;
  }

  bool compare(int depth) {
    const Shape shape = shape_of(a_.peek());
    if (shape != shape_of(b_.peek())) {
      const std::uint64_t a_from = a_.at(), b_from = b_.at();
      return as_changed(a_from, b_from, a_.skip_value() && b_.skip_value(), false);
    }
    if (shape == Shape::Word) return compare_words();
    if (shape == Shape::Text) return compare_strings();
    if (depth == kDeepestCompared) return compare_bytes();
    if (shape == Shape::Array) return compare_arrays(depth);
    const std::string block = block_of(a_);
    if (!block.empty() && block == block_of(b_)) return compare_blocks();
    if (a_.failed() || b_.failed()) return false;
    return compare_objects(depth);
  }

  // `walked`: both are behind the value.
  bool as_changed(std::uint64_t a_from, std::uint64_t b_from, bool walked, bool same) {
    if (!walked) return false;
    if (same) return true;
    return keep(collector_.changed(pointer_, {&a_, a_from, a_.at()}, {&b_, b_from, b_.at()}));
  }
  bool keep(Status status) {
    if (status_ && !status) status_ = std::move(status);
    return status_.has_value();
  }

  bool compare_words() {
    const std::uint64_t a_from = a_.at(), b_from = b_.at();
    std::string a, b;
    const bool walked = a_.take_word(a) && b_.take_word(b);
    const auto number = [](const std::string& word) { return word[0] != 't' && word[0] != 'f' && word[0] != 'n'; };
    const bool same = walked && (a == b || (number(a) && number(b) && same_number(a, b)));
    return as_changed(a_from, b_from, walked, same);
  }

  // At the quotation marks; true if they decode to the same. Both are behind their string afterwards, unless failed.
  bool same_strings() {
    if (!a_.begin_string() || !b_.begin_string()) return false;
    for (;;) {
      const int a = a_.string_byte(), b = b_.string_byte();
      if (a == -1 && b == -1) return true;
      if (a == b) continue;
      if (a != -1) a_.skip_rest();
      if (b != -1) b_.skip_rest();
      return false;
    }
  }
  bool sound() const { return !a_.failed() && !b_.failed(); }

  bool compare_strings() {
    const std::uint64_t a_from = a_.at(), b_from = b_.at();
    const bool same = same_strings();
    return as_changed(a_from, b_from, sound(), same);
  }

  bool compare_bytes() {
    const std::uint64_t a_from = a_.at(), b_from = b_.at();
    if (!a_.skip_value() || !b_.skip_value()) return false;
    bool same = a_.at() - a_from == b_.at() - b_from;
    constexpr std::size_t kCompared = 64 * 1024;
    for (std::uint64_t done = 0; same && a_from + done < a_.at(); done += kCompared) {
      const std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(kCompared, a_.at() - a_from - done));
      const auto a = a_.raw(a_from + done, size), b = b_.raw(b_from + done, size);
      if (!a || !b) return keep(fail(a ? b.error() : a.error()));
      same = *a == *b;
    }
    return as_changed(a_from, b_from, true, same);
  }

  // The name of an object's only member if that makes one value of it, else ""; the place stays.
  static std::string block_of(JsonScan& text) {
    constexpr std::string_view kBlocks[] = {"f64", "f32", "i64", "u64", "i32", "u32", "i16", "u16", "i8", "u8"};
    const std::uint64_t from = text.at();
    std::string name;
    text.enter();
    bool is_block = text.next_member(true, name) && text.peek() == '"';
    const bool known = (name.starts_with('$') && !name.starts_with("$$")) ||
                       std::find(std::begin(kBlocks), std::end(kBlocks), name) != std::end(kBlocks);
    is_block = is_block && known && text.begin_string() && text.skip_rest() && text.peek() == '}';
    text.seek(from);
    return is_block ? name : "";
  }

  bool compare_blocks() {
    const std::uint64_t a_from = a_.at(), b_from = b_.at();
    std::string name;
    a_.enter();
    b_.enter();
    if (!a_.next_member(true, name) || !b_.next_member(true, name)) return false;
    const bool same = same_strings();
    const bool closed = sound() && !a_.next_member(false, name) && !b_.next_member(false, name) && sound();
    return as_changed(a_from, b_from, closed, same);
  }

  // Runs `step` one level further down.
  template <class Step>
  bool under(std::string_view name, Step step) {
    const std::size_t size = pointer_.size();
    pointer_ += '/';
    pointer_ += escaped(name);
    const bool done = step();
    pointer_.resize(size);
    return done;
  }
  bool compare_under(std::string_view name, int depth) {
    if (passed_over(name)) return a_.skip_value() && b_.skip_value();
    return under(name, [&] { return compare(depth + 1); });
  }
  bool passed_over(std::string_view name) const { return pointer_.empty() && except_.contains(name); }
  bool lone(JsonScan& text, std::string_view name) {
    if (passed_over(name)) return text.skip_value();
    return under(name, [&] {
      text.peek();
      const std::uint64_t from = text.at();
      if (!text.skip_value()) return false;
      const StateSpan span{&text, from, text.at()};
      return keep(&text == &a_ ? collector_.removed(pointer_, span) : collector_.added(pointer_, span));
    });
  }

  bool compare_arrays(int depth) {
    a_.enter();
    b_.enter();
    bool in_a = a_.next_element(true), in_b = b_.next_element(true);
    for (std::uint64_t i = 0; in_a || in_b; ++i) {
      const std::string name = std::to_string(i);
      const bool done = in_a && in_b ? compare_under(name, depth) : lone(in_a ? a_ : b_, name);
      if (!done) return false;
      in_a = in_a && a_.next_element(false);
      in_b = in_b && b_.next_element(false);
    }
    return sound();
  }

  bool compare_objects(int depth) {
    const std::uint64_t a_from = a_.at(), b_from = b_.at();
    std::string a, b;
    a_.enter();
    b_.enter();
    std::uint64_t a_name = a_.at();
    bool in_a = a_.next_member(true, a), in_b = b_.next_member(true, b);
    while (in_a && in_b && a == b) {
      if (!compare_under(a, depth)) return false;
      a_name = a_.peek() == ',' ? a_.at() + 1 : a_.at();
      in_a = a_.next_member(false, a);
      in_b = b_.next_member(false, b);
    }
    if (!sound()) return false;
    if (in_a && in_b) return compare_unordered(depth, a_from, b_from, a_name, b);
    for (; in_a; in_a = a_.next_member(false, a)) {
      if (!lone(a_, a)) return false;
    }
    for (; in_b; in_b = b_.next_member(false, b)) {
      if (!lone(b_, b)) return false;
    }
    return sound();
  }

  // The rest of two objects: of a from the name at `a_name`; b stands behind its name `b`. `a_from`, `b_from`: where
  // the objects begin.
  bool compare_unordered(int depth, std::uint64_t a_from, std::uint64_t b_from, std::uint64_t a_name, std::string b) {
    std::vector<Indexed> index;
    if (!index_members(a_name, index)) return sound() && as_one(a_from, b_from);
    const std::uint64_t a_end = a_.at();
    indexed_ += index.size();
    std::sort(index.begin(), index.end());
    std::vector<bool> matched(index.size());
    for (bool in_b = true; in_b; in_b = b_.next_member(false, b)) {
      const bool found = find(index, matched, b);
      if (a_.failed() || !(found ? compare_under(b, depth) : lone(b_, b))) return false;
    }
    if (!sound() || !remove_unmatched(index, matched)) return false;
    indexed_ -= index.size();
    a_.seek(a_end);
    return true;
  }

  // False: failed, or there are too many.
  bool index_members(std::uint64_t at, std::vector<Indexed>& index) {
    std::string name;
    a_.seek(at);
    for (bool more = a_.take_name(name); more;) {
      if (indexed_ + index.size() == kMostIndexed) return false;
      index.push_back({std::hash<std::string>()(name), at});
      if (!a_.skip_value()) return false;
      at = a_.peek() == ',' ? a_.at() + 1 : a_.at();
      more = a_.next_member(false, name);
    }
    return sound();
  }

  // Puts a behind the member of this name.
  bool find(const std::vector<Indexed>& index, std::vector<bool>& matched, const std::string& wanted) {
    const std::uint64_t hash = std::hash<std::string>()(wanted);
    std::string name;
    for (auto at = std::lower_bound(index.begin(), index.end(), Indexed{hash, 0});
         at != index.end() && at->hash == hash; ++at) {
      const auto number = static_cast<std::size_t>(at - index.begin());
      if (matched[number]) continue;
      a_.seek(at->name_at);
      if (!a_.take_name(name)) return false;
      if (name != wanted) continue;
      matched[number] = true;
      return true;
    }
    return false;
  }

  bool remove_unmatched(const std::vector<Indexed>& index, const std::vector<bool>& matched) {
    std::vector<std::uint64_t> left;
    for (std::size_t i = 0; i < index.size(); ++i) {
      if (!matched[i]) left.push_back(index[i].name_at);
    }
    std::sort(left.begin(), left.end());
    std::string name;
    for (const std::uint64_t at : left) {
      a_.seek(at);
      if (!a_.take_name(name) || !lone(a_, name)) return false;
    }
    return true;
  }

  bool as_one(std::uint64_t a_from, std::uint64_t b_from) {
    a_.seek(a_from);
    b_.seek(b_from);
    return as_changed(a_from, b_from, a_.skip_value() && b_.skip_value(), false);
  }

  JsonScan& a_;
  JsonScan& b_;
  const std::set<std::string, std::less<>>& except_;
  DiffCollector collector_;
  std::string pointer_;
  std::size_t indexed_ = 0;
  Status status_;
};

}  // namespace

bool same_number(std::string_view a, std::string_view b) {
  const auto x = as_real(a), y = as_real(b);
  if (x && y) return *x == *y;
  return decimal_of(a) == decimal_of(b);
}

Result<StateDiff> diff_states(JsonScan& a, JsonScan& b, const std::set<std::string, std::less<>>& except) {
  return Walk(a, b, except).run();
}

}  // namespace zeroth
