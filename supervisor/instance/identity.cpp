#include "supervisor/instance/identity.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "common/control_protocol.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/json.h"
#include "common/text.h"
#include "supervisor/instance/instance_record.h"

namespace zeroth {
namespace {

constexpr std::size_t kTagDigits = 6;

// `name` with "-<6 hex>" of what it stands for, no longer than a name may be.
std::string tagged(std::string_view name, std::string_view of) {
  return std::string(name.substr(0, kMaxName - kTagDigits - 1)) + "-" + xxh3_hex(of).substr(0, kTagDigits);
}

std::string stem_of(const std::string& path) {
  return std::filesystem::path(path).stem().string();
}

bool is_regular_file(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

std::string absolute(const std::string& path) {
  std::error_code error;
  std::string made = std::filesystem::absolute(path, error).lexically_normal().string();
  while (made.size() > 1 && made.back() == '/') made.pop_back();
  return made;
}

// The first of systemd's colon-separated folders.
std::string first_folder(const std::string& list) {
  return list.substr(0, list.find(':'));
}

// XDG variables count only if absolute (their specification).
std::string xdg(const Environment& environment, const char* name) {
  std::string value = environment(name);
  return value.starts_with('/') ? value : "";
}

Result<std::string> state_home(const Environment& environment) {
  if (std::string home = xdg(environment, "XDG_STATE_HOME"); !home.empty()) return home + "/zeroth";
  const std::string home = environment("HOME");
  if (!home.starts_with('/')) return fail("neither XDG_STATE_HOME nor HOME is set; give --state-dir");
  return home + "/.local/state/zeroth";
}

std::string first_given(const std::vector<std::string>& candidates) {
  for (const std::string& candidate : candidates) {
    if (!candidate.empty()) return candidate;
  }
  return "";
}

// The key of the program whose state lies in `folder`, "" if nobody's.
Result<std::string> owner_of(const std::string& folder) {
  auto record = read_instance_record(folder);
  if (record) return record->identity;
  if (record.error().code == EACCES) return fail(std::move(record.error()));
  return std::string();
}

Status check_owner(const std::string& folder, const Identity& identity, bool adopt) {
  const auto owner = owner_of(folder);
  if (!owner) return fail(owner.error());
  if (adopt || owner->empty() || *owner == identity.key) return {};
  return fail(folder + " belongs to " + *owner + ", not to " + identity.key + "; --adopt takes it over");
}

// The one of the programs of that name that were moved, if there is just one.
Result<std::string> name_to_adopt(const std::string& home, const Identity& identity, const std::string& owner) {
  const std::vector<LeftState> left = states_left_behind(home, identity);
  if (left.size() == 1) return left[0].name;
  if (left.empty() && owner.empty()) return name_from_stem(identity.stem);  // there is nothing to adopt
  std::string message = "--adopt: " + owner + " is still there, and its state is its own";
  if (!left.empty()) message = "--adopt: the states of several programs could be meant";
  for (const LeftState& one : left) message += "; " + one.key + " was --name " + one.name;
  return fail(message + "; --name NAME --adopt takes over the one that is meant");
}

// <home>/<stem>, or the tagged one if that is another's or if it is where this program has been before.
Result<std::string> name_in(const std::string& home, const Identity& identity, bool adopt) {
  const std::string plain = name_from_stem(identity.stem);
  const std::string unique = tagged(plain, identity.key);
  const auto owner = owner_of(home + "/" + plain);
  if (!owner) return fail(owner.error());
  if (*owner == identity.key) return plain;
  const auto other = owner_of(home + "/" + unique);
  if (!other) return fail(other.error());
  if (*other == identity.key) return unique;
  if (adopt) return name_to_adopt(home, identity, *owner);
  return owner->empty() ? plain : unique;
}

std::string runtime_folder(const Folders& folders, const FolderOptions& options, const Environment& environment) {
  const std::string given = first_given(
      {options.runtime_dir, environment("ZEROTH_RUNTIME_DIR"), first_folder(environment("RUNTIME_DIRECTORY"))});
  if (!given.empty()) return absolute(given);
  const std::string xdg_runtime = xdg(environment, "XDG_RUNTIME_DIR");
  return xdg_runtime.empty() ? folders.state + "/run" : xdg_runtime + "/zeroth/" + folders.name;
}

}  // namespace

bool is_gone(const std::string& key) {
  const std::string path = key.substr(0, key.find(": ["));  // a command's folder
  char real[PATH_MAX];
  if (::realpath(path.c_str(), real) != nullptr) return path != real;  // a link now: whoever starts it starts another
  return errno == ENOENT || errno == ENOTDIR;
}

std::vector<LeftState> states_left_behind(const std::string& home, const Identity& identity) {
  std::vector<LeftState> left;
  const std::string plain = name_from_stem(identity.stem);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(home, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(plain.substr(0, kMaxName - kTagDigits - 1))) continue;  // not ours to look into
    const auto owner = owner_of(entry.path().string());
    if (!owner || owner->empty() || *owner == identity.key) continue;
    const bool of_that_name = name == plain || name == tagged(plain, *owner);
    if (of_that_name && is_gone(*owner)) left.push_back({name, entry.path().string(), *owner});
  }
  std::ranges::sort(left, {}, &LeftState::name);
  return left;
}

Result<Identity> identify_program(const std::string& path) {
  char real[PATH_MAX];
  if (::realpath(path.c_str(), real) == nullptr) return fail(last_error(path));
  std::string key = real;
  if (key.ends_with(".z")) key += "ero";
  return Identity{key, stem_of(key)};
}

Identity identify_command(const std::string& cwd, const std::vector<std::string>& argv) {
  // "python3 -u app.py" is called app: the first argument that is a file here, if the command itself is not one.
  std::string called = argv.empty() ? "" : argv[0];
  if (called.find('/') == std::string::npos) {
    const auto script = std::find_if(argv.begin(), argv.end(), [&](const std::string& argument) {
      return is_regular_file((std::filesystem::path(cwd) / argument).string());
    });
    if (script != argv.end()) called = *script;
  }
  return {cwd + ": " + dump(Json(argv)), stem_of(called)};
}

std::string name_from_stem(std::string_view stem) {
  if (is_valid_name(stem)) return std::string(stem);
  std::string mapped(stem.substr(0, kMaxName));
  std::replace_if(
      mapped.begin(), mapped.end(), [](char c) { return !is_name_char(c); }, '_');
  return tagged(mapped, stem);
}

std::string process_environment(const char* name) {
  const char* value = ::getenv(name);
  return value != nullptr ? value : "";
}

Result<Folders> choose_folders(const Identity& identity, const FolderOptions& options, const Environment& environment) {
  if (!options.name.empty() && !is_valid_name(options.name))
    return fail("--name: expected 1 to 64 letters, digits, '_', '.' or '-'");
  Folders folders;
  folders.name = options.name.empty() ? name_from_stem(identity.stem) : options.name;
  const std::string given =
      first_given({options.state_dir, environment("ZEROTH_STATE_DIR"), first_folder(environment("STATE_DIRECTORY"))});
  if (!given.empty()) {
    folders.state = absolute(given);
  } else {
    const auto home = state_home(environment);
    if (!home) return fail(home.error());
    if (options.name.empty()) {
      auto name = name_in(*home, identity, options.adopt);
      if (!name) return fail(std::move(name.error()));
      folders.name = std::move(*name);
    }
    folders.state = *home + "/" + folders.name;
  }
  if (const Status ours = check_owner(folders.state, identity, options.adopt); !ours) return fail(ours.error());
  folders.runtime = runtime_folder(folders, options, environment);
  folders.socket = control_socket_path(folders.runtime);
  return folders;
}

}  // namespace zeroth
