#pragma once
// Whose instance this is and where it keeps its things: program -> name -> state and runtime folders -> socket.
// Asked once at start, before the lock is taken.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace zeroth {

// What decides that two starts mean the same thing.
struct Identity {
  std::string key;   // real path of the program (of the .zero for its .z); "cwd: [argv]" for a command
  std::string stem;  // what it would be called, not yet a valid name
};
// Fails if the file is not there.
Result<Identity> identify_program(const std::string& path);
Identity identify_command(const std::string& cwd, const std::vector<std::string>& argv);

// The stem if it is a valid name; else its valid characters, '_' for the others, and 6 hex of its hash.
std::string name_from_stem(std::string_view stem);

// The program is not where it was; so for the folder of a command.
bool is_gone(const std::string& key);

// State in <home>/<name> of another program of the same stem that is gone: perhaps it was moved, and is this one.
struct LeftState {
  std::string name, folder, key;
};
std::vector<LeftState> states_left_behind(const std::string& home, const Identity& identity);

struct FolderOptions {
  std::string name = "", state_dir = "", runtime_dir = "";  // --name, --state-dir, --runtime-dir; "" = not given
  // Take over a folder that belongs to another program: the one that is named, or that of the one program of this stem
  // that is gone.
  bool adopt = false;
};

// Value of an environment variable, "" if unset.
using Environment = std::function<std::string(const char*)>;
std::string process_environment(const char* name);

struct Folders {
  std::string name;
  std::string state, runtime;  // absolute; not made yet
  std::string socket;          // control socket, at most 107 bytes
};

// Flag, ZEROTH_STATE_DIR, STATE_DIRECTORY (final folders), XDG_STATE_HOME/zeroth/<name>, ~/.local/state/zeroth/<name>;
// runtime likewise, at last <state>/run. A folder chosen by stem that belongs to another program is passed over for
// <stem>-<6 hex of the key>. An error means exit 78 (77 if its code is EACCES): a folder or name that was given
// belongs to another program (both are named), the name is not valid, or there is no HOME.
Result<Folders> choose_folders(const Identity& identity, const FolderOptions& options, const Environment& environment);

}  // namespace zeroth
