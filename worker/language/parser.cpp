#include "worker/language/parser.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "common/hash.h"
#include "common/text.h"
#include "worker/language/error_list.h"
#include "worker/language/lexer.h"
#include "worker/language/symbol_table.h"

namespace zeroth {
namespace {

constexpr std::array<std::string_view, 3> kStatements = {"state", "align", "observe"};
constexpr std::array<std::string_view, 7> kKeywords = {"state",   "was",         "align",  "strength",
                                                       "observe", "convergence", "epsilon"};
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// A hint must not take longer than reading the file: names are compared with this many states, and not if longer.
constexpr std::size_t kSuggestedStates = 50'000;
constexpr std::size_t kSuggestedSize = 64;  // bytes

bool is_keyword(std::string_view word) {
  return std::find(kKeywords.begin(), kKeywords.end(), word) != kKeywords.end();
}

std::string did_you_mean(std::string_view word) {
  return "did you mean " + in_quotes(word) + "?";
}
std::string in_line(std::uint32_t line) {
  return "line " + std::to_string(line);
}

// The value of a NUMBER; infinite if it is too large, 0 if it is too small.
double value_of(std::string_view number) {
  if (number.front() == '+') number.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error == std::errc()) return value;
  return std::strtod(std::string(number).c_str(), nullptr);  // tells too large from too small
}

class Parser {
 public:
  explicit Parser(std::string_view source) : source_(source), lexer_(source), errors_(source, kReportedErrors) {}
  tl::expected<Program, Diagnostics> run();

 private:
  // What is known of a name, wherever it was first seen.
  struct Symbol {
    std::uint32_t state = 0;          // index, if declared
    std::uint32_t declared_line = 0;  // 0 = not declared
    std::uint32_t claimed_line = 0;   // of the `was`; 0 = not claimed
  };
  struct Name {
    std::uint32_t symbol;
    std::string_view text;
  };
  // A name that was used before it was declared, or a `was` name, looked at again when all states are known.
  struct Use {
    std::uint32_t line;
    Name name;
  };
  struct FormerName {
    std::uint32_t state_symbol;
    Use old;
  };

  void statement();
  bool state();
  bool align();
  bool observe(std::string_view keyword_at);
  void declare(Name name);
  void claim(Name state, Name old);
  void use(Name name);

  void check_whole();
  void check_ends();
  void check_former_names();
  Program program() const;

  void advance() { token_ = lexer_.next(); }
  std::string_view statement_keyword();
  bool keyword(std::string_view word);
  std::optional<Name> name();
  std::optional<double> number();
  void end_of_statement(bool may_be_was);
  Diagnostic* expected(std::string_view what);
  Diagnostic* token_error();
  void unknown_state(const Use& use);
  Diagnostic* error(std::string_view place) { return errors_.add(lexer_.line(), place); }

  std::string_view source_;
  Lexer lexer_;
  Token token_;
  ErrorList errors_;

  SymbolTable names_;
  std::vector<Symbol> symbols_;        // by number in names_
  std::vector<std::uint32_t> states_;  // symbols, in order of declaration
  std::vector<Alignment> alignments_;  // of symbols
  std::vector<Use> early_uses_;        // alignment ends, in order of position
  std::vector<FormerName> former_names_;
  bool has_state_statement_ = false;
  std::uint32_t observe_line_ = 0;
  double epsilon_ = 0;
};

tl::expected<Program, Diagnostics> Parser::run() {
  while (lexer_.next_line()) {
    advance();
    if (token_.kind != TokenKind::EndOfLine) statement();
  }
  check_whole();
  check_ends();
  check_former_names();
  if (!errors_.empty()) return tl::unexpected<Diagnostics>(std::move(errors_).take());
  return program();
}

void Parser::statement() {
  const std::string_view at = token_.text;
  const std::string_view word = statement_keyword();
  if (word.empty()) return;
  const bool complete = word == "state" ? state() : word == "align" ? align() : observe(at);
  if (complete) end_of_statement(word == "state");
}

// Consumes the first word and returns the statement it begins; empty if that is anybody's guess. A misspelt one is an
// error but goes on, so that it is reported once and not again by every line that needs the statement.
std::string_view Parser::statement_keyword() {
  std::string_view meant;
  for (const std::string_view statement : kStatements) {
    if (token_.kind == TokenKind::Word && token_.text == statement) meant = statement;
  }
  if (meant.empty()) {
    Diagnostic* d = token_error();
    if (d == nullptr) return {};
    meant = nearest(token_.text, kStatements);
    d->message = "unknown statement " + in_quotes(token_.text);
    d->help = meant.empty() ? "a line begins with 'state', 'align' or 'observe'" : did_you_mean(meant);
  }
  advance();
  return meant;
}

bool Parser::state() {
  has_state_statement_ = true;
  const auto state = name();
  if (!state) return false;
  declare(*state);
  if (token_.kind != TokenKind::Word || token_.text != "was") return true;
  advance();
  const auto old = name();
  if (!old) return false;
  claim(*state, *old);
  return true;
}

bool Parser::align() {
  const auto a = name();
  if (!a) return false;
  const auto b = name();
  if (!b) return false;
  use(*a);
  if (a->symbol != b->symbol) {
    use(*b);
  } else if (Diagnostic* d = error(b->text)) {
    d->message = "state " + in_quotes(b->text) + " is aligned with itself";
  }
  if (!keyword("strength")) return false;
  const std::string_view text = token_.text;
  const auto strength = number();
  if (!strength) return false;
  if (!(*strength >= 0 && *strength <= 1)) {
    if (Diagnostic* d = error(text)) d->message = "strength " + in_quotes(text) + " is not between 0 and 1";
  }
  alignments_.push_back({a->symbol, b->symbol, *strength});
  return true;
}

bool Parser::observe(std::string_view keyword_at) {
  const std::uint32_t first = observe_line_;
  if (first == 0) {
    observe_line_ = lexer_.line();
  } else if (Diagnostic* d = error(keyword_at)) {
    d->message = "a second 'observe'";
    d->help = "the first is in " + in_line(first);
  }
  if (!keyword("convergence") || !keyword("epsilon")) return false;
  const std::string_view text = token_.text;
  const auto epsilon = number();
  if (!epsilon) return false;
  if (!(*epsilon > 0)) {
    if (Diagnostic* d = error(text)) d->message = "epsilon " + in_quotes(text) + " is not greater than 0";
  }
  epsilon_ = *epsilon;
  return true;
}

void Parser::declare(Name name) {
  Symbol& symbol = symbols_[name.symbol];
  if (symbol.declared_line != 0) {
    if (Diagnostic* d = error(name.text)) {
      d->message = "state " + in_quotes(name.text) + " is already declared in " + in_line(symbol.declared_line);
    }
    return;
  }
  symbol.state = static_cast<std::uint32_t>(states_.size());
  symbol.declared_line = lexer_.line();
  states_.push_back(name.symbol);
}

void Parser::claim(Name state, Name old) {
  Symbol& symbol = symbols_[old.symbol];
  if (symbol.claimed_line != 0) {
    if (Diagnostic* d = error(old.text)) {
      d->message = "former name " + in_quotes(old.text) + " is already claimed in " + in_line(symbol.claimed_line);
    }
    return;
  }
  symbol.claimed_line = lexer_.line();
  former_names_.push_back({state.symbol, {lexer_.line(), old}});
}

void Parser::use(Name name) {
  if (symbols_[name.symbol].declared_line == 0) early_uses_.push_back({lexer_.line(), name});
}

void Parser::check_whole() {
  const std::string_view beginning = source_.substr(0, 0);
  if (!has_state_statement_) {
    if (Diagnostic* d = errors_.add(1, beginning)) {
      d->message = "no state is declared";
      d->help = "declare one: state NAME";
    }
  }
  if (observe_line_ == 0) {
    if (Diagnostic* d = errors_.add(1, beginning)) {
      d->message = "no 'observe' statement";
      d->help = "add one: observe convergence epsilon 0.0001";
    }
  }
}

void Parser::check_ends() {
  for (const Use& use : early_uses_) {
    if (symbols_[use.name.symbol].declared_line == 0) unknown_state(use);
  }
}

void Parser::unknown_state(const Use& use) {
  Diagnostic* d = errors_.add(use.line, use.name.text);
  if (d == nullptr) return;
  d->message = "unknown state " + in_quotes(use.name.text);
  if (use.name.text.size() > kSuggestedSize) return;
  std::vector<std::string_view> candidates(std::min(states_.size(), kSuggestedStates));
  for (std::size_t i = 0; i < candidates.size(); ++i) candidates[i] = names_.name(states_[i]);
  const std::string_view meant = nearest(use.name.text, candidates);
  if (meant.empty()) return;
  const Symbol& state = symbols_[names_.intern(meant)];
  d->help = "did you mean " + in_quotes(meant) + " (" + in_line(state.declared_line) + ")?";
}

void Parser::check_former_names() {
  for (const FormerName& former : former_names_) {
    const Symbol& old = symbols_[former.old.name.symbol];
    if (old.declared_line == 0) continue;
    if (Diagnostic* d = errors_.add(former.old.line, former.old.name.text)) {
      d->message = "former name " + in_quotes(former.old.name.text) + " is still a state, declared in " +
                   in_line(old.declared_line);
    }
  }
}

Program Parser::program() const {
  Program program;
  program.states.reserve(states_.size());
  for (const std::uint32_t symbol : states_) program.states.emplace_back(names_.name(symbol));
  program.alignments.reserve(alignments_.size());
  for (const Alignment& alignment : alignments_) {
    program.alignments.push_back({symbols_[alignment.a].state, symbols_[alignment.b].state, alignment.strength});
  }
  for (const FormerName& former : former_names_) {
    program.renames.push_back({symbols_[former.state_symbol].state, std::string(former.old.name.text)});
  }
  program.epsilon = epsilon_;
  return program;
}

// Consumes the keyword, or reports what is there instead; a misspelt one is taken for it.
bool Parser::keyword(std::string_view word) {
  if (token_.kind != TokenKind::Word || token_.text != word) {
    Diagnostic* d = expected(in_quotes(word));
    if (d == nullptr || nearest(token_.text, {&word, 1}).empty()) return false;
    d->help = did_you_mean(word);
  }
  advance();
  return true;
}

std::optional<Parser::Name> Parser::name() {
  const std::string_view text = token_.text;
  if (token_.kind != TokenKind::Word || is_keyword(text)) {
    Diagnostic* d = expected("a name");
    if (d == nullptr || token_.kind == TokenKind::EndOfLine) return std::nullopt;
    d->help = token_.kind == TokenKind::Word ? in_quotes(text) + " is a keyword" : "a name begins with a letter or '_'";
    return std::nullopt;
  }
  const std::uint32_t symbol = names_.intern(text);
  if (symbol == symbols_.size()) symbols_.emplace_back();
  advance();
  return Name{symbol, text};
}

std::optional<double> Parser::number() {
  if (token_.kind != TokenKind::Number) {
    Diagnostic* d = expected("a number");
    if (d != nullptr) d->help = "numbers look like 1, 0.7, .5 or 1e-4";
    return std::nullopt;
  }
  const double value = value_of(token_.text);
  if (!std::isfinite(value)) {
    if (Diagnostic* d = error(token_.text)) d->message = "number " + in_quotes(token_.text) + " is too large";
    return std::nullopt;
  }
  advance();
  return value;
}

void Parser::end_of_statement(bool may_be_was) {
  if (token_.kind == TokenKind::EndOfLine) return;
  constexpr std::string_view kWas = "was";
  Diagnostic* d = expected("the end of the line");
  if (d != nullptr && may_be_was && !nearest(token_.text, {&kWas, 1}).empty()) d->help = did_you_mean(kWas);
}

// An error that the token is not `what`, for the caller to add a help to; null as token_error().
Diagnostic* Parser::expected(std::string_view what) {
  Diagnostic* d = token_error();
  if (d == nullptr) return nullptr;
  const bool ends = token_.kind == TokenKind::EndOfLine;
  d->message = "expected " + std::string(what) + ", " + (ends ? "the line ends" : "found " + in_quotes(token_.text));
  return d;
}

// An error at the token, for the caller to word. Null if there is nothing to add: enough errors lie in front of it, or
// the token is wrong wherever it stands and that has been said.
Diagnostic* Parser::token_error() {
  Diagnostic* d = error(token_.text);
  if (d == nullptr || !is_wrong(token_.kind)) return d;
  auto [message, help] = describe_wrong(token_);
  d->message = std::move(message);
  d->help = std::move(help);
  return nullptr;
}

}  // namespace

ParseResult parse(std::string_view source) {
  const bool has_mark = source.substr(0, kByteOrderMark.size()) == kByteOrderMark;
  ParseResult result = Parser(has_mark ? source.substr(kByteOrderMark.size()) : source).run();
  if (result) result->hash = xxh3_hex(source);
  return result;
}

}  // namespace zeroth
