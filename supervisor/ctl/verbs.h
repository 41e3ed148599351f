#pragma once
// Every verb of zerothctl: one entry each, with its words, options, help, the text its result is shown as, and the
// function that does it. Parsing, help and completion are made from this table.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/json.h"

namespace zeroth {

struct Verb;

// One command line, taken apart.
struct Invocation {
  const Verb* verb = nullptr;  // null: `word` is none of ours, perhaps a worker's command
  std::string word;
  Json params = Json::object();    // from words and options, named as the protocol names them
  std::vector<std::string> words;  // behind a verb that takes them as they are
  std::string name;                // -n
  bool json = false;
  std::optional<Milliseconds> timeout;
};

enum class Kind {
  Flag,
  Count,
  Real,
  Text,
  Texts,  // may be given several times
  Path,   // made absolute: the supervisor has another working folder
};

struct Word {
  std::string_view param;
  std::string_view shown;  // "[TARGET]": optional; "NAME": required
  Kind kind = Kind::Text;
};

struct Switch {
  std::string_view names;  // "-f,--follow"
  std::string_view param;
  Kind kind;
  std::string_view value_name;
  std::string_view help;
};

enum class Group { Lifecycle, Observe, State, Zero, Fleet, Other };
std::string_view to_string(Group group);

struct Verb {
  std::string_view name;
  Group group;
  std::string_view help;  // "" for a supervisor's command, which control_protocol.h describes; see help_of()
  std::vector<Word> words;
  std::vector<Switch> switches;
  Milliseconds deadline;  // for the answer, unless --timeout
  std::string (*text)(const Json& result);
  int (*run)(const Invocation&);  // the exit code
  bool raw_words = false;         // all words behind the verb are passed on as they are
};

// Zero verbs are commands of a worker and shown by help only where one announces them.
std::span<const Verb> verbs();
const Verb* find_verb(std::string_view name);
std::string_view help_of(const Verb& verb);

// Verbs of the design that do not exist yet.
bool is_not_built(std::string_view name);

}  // namespace zeroth
