#pragma once
// One pattern of a .gitignore, compiled: what git's wildmatch accepts, in time bounded by pattern times text. Used by
// IgnoreRules alone.

#include <bitset>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace zeroth {

class Glob {
 public:
  // `?` and `*` stop at a slash, `**` between slashes or ends does not; `[a-z]`, `[!x]`, `[[:alpha:]]` and `\` as in
  // git. A pattern that is malformed (an open bracket, a lone backslash at the end) matches nothing.
  explicit Glob(std::string_view pattern);

  // The whole of `text`, a name or a path without a slash at its ends. Adds the steps it took to `steps` if given: at
  // most (pattern + 1) * (text + 1).
  bool matches(std::string_view text, std::size_t* steps = nullptr) const;

 private:
  enum class Kind {
    Literal,  // `byte`
    Any,      // one byte but a slash
    Set,      // one byte of sets_[set], which never holds a slash
    Name,     // any bytes but a slash
    Path,     // any bytes
    Folders,  // nothing, or any bytes up to and with a slash
  };
  struct Token {
    Kind kind;
    char byte = 0;
    std::size_t set = 0;
  };
  using Bytes = std::bitset<256>;

  bool compile(std::string_view pattern);
  bool compile_set(std::string_view pattern, std::size_t& at);
  static bool add_class(std::string_view name, Bytes& bytes);
  bool takes(const Token& token, char byte) const;
  bool open_ended(std::size_t index) const;

  std::string prefix_;  // literal, before the first token
  std::vector<Token> tokens_;
  std::vector<Bytes> sets_;
  bool malformed_ = false;
};

}  // namespace zeroth
