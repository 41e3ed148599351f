#pragma once
// Cuts Zero source into lines and lines into tokens. Used by the parser alone; never allocates, never fails: what is no
// token is one of the wrong kinds, which describe_wrong() puts into words.

#include <cstdint>
#include <string>
#include <string_view>

namespace zeroth {

enum class TokenKind : std::uint8_t {
  EndOfLine,  // also in front of a comment; empty text right behind the last token
  Word,       // a name or a keyword
  Number,     // follows the grammar; whether a double can hold it is the parser's question
  MalformedNumber,
  // Wrong wherever they stand, from here on; the text is what to point at.
  NameTooLong,
  BadCharacter,
  BadCarriageReturn,
  Nul,
  InvalidUtf8,
};

struct Token {
  TokenKind kind = TokenKind::EndOfLine;
  std::string_view text;  // a view into the source
};

constexpr bool is_wrong(TokenKind kind) {
  return kind >= TokenKind::NameTooLong;
}

// Message and help for a token that is_wrong.
struct Description {
  std::string message, help;
};
Description describe_wrong(const Token& token);

class Lexer {
 public:
  // `source` without its byte order mark, at most 2 GiB; must outlive the lexer and its tokens.
  explicit Lexer(std::string_view source);

  // Goes to the next line, whatever is left of this one; false behind the last. Call it before the first next().
  bool next_line();
  // The next token of this line; EndOfLine again and again at its end. Call next_line() after a wrong one.
  Token next();
  // Counts from 1.
  std::uint32_t line() const { return line_; }

 private:
  Token word(const char* begin);
  Token number(const char* begin);
  Token comment(const char* begin);
  Token wrong_character(const char* at) const;
  Token end_of_line() const;

  const char* next_line_;  // where the next line begins
  const char* source_end_;
  const char* line_end_;  // without its line ending
  const char* at_;        // behind the last token
  std::uint32_t line_ = 0;
};

}  // namespace zeroth
