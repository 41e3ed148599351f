#include "supervisor/fleet/fleet_file.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include "common/files.h"
#include "common/text.h"
#include "supervisor/fleet/dependencies.h"
#include "supervisor/fleet/fleet_keys.h"
#include "supervisor/fleet/replicas.h"
#include "supervisor/process/listeners.h"
#include "supervisor/resource_limits.h"
#include "supervisor/watch/default_targets.h"

namespace zeroth {
namespace {

// Of the state folder, where each worker has a folder of its name.
constexpr std::string_view kTakenNames[] = {"run", "lock", "instance.json", "supervisor.log", "stopped.json"};

std::string help_for(std::string_view word, std::span<const std::string_view> known) {
  const std::string_view found = nearest(word, known);
  return found.empty() ? "" : "did you mean '" + std::string(found) + "'?";
}

std::vector<std::string_view> key_names(std::span<const FleetKey> keys) {
  std::vector<std::string_view> names;
  for (const FleetKey& key : keys) names.push_back(key.name);
  return names;
}

// A scalar as somebody would type it on a command line; nothing for a list or a table.
std::optional<std::string> as_typed(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* real = node.as_floating_point()) return Json(real->get()).dump();
  return std::nullopt;
}

class FleetReader {
 public:
  FleetReader(std::string_view text, const std::string& path, const Options& base)
      : text_(text), path_(path), folder_(folder_of(path)), base_(base) {}

  tl::expected<FleetFile, Diagnostics> read();

 private:
  void complain(const toml::source_region& where, std::string message, std::string help = "");
  void read_top(const toml::table& root);
  void read_worker(const std::string& name, const toml::key& key, const toml::table& table);
  void read_key(FleetWorker& worker, OptionSetter& setter, const FleetKey& key, const toml::node& value);
  void set(OptionSetter& setter, Options& options, const FleetKey& key, const toml::node& value,
           const std::vector<std::string>& values);
  std::optional<std::vector<std::string>> texts(const FleetKey& key, const toml::node& value, bool list_only = false);
  void read_variables(Options& options, const toml::node& value);
  void read_limits(Options& options, const toml::node& value);
  void read_replicas(const toml::node& value);
  void add(const FleetWorker& worker, const toml::key& key);
  void choose_watch(Options& options) const;
  void check_dependencies();
  void check_addresses();
  std::string absolute(const std::string& path) const;
  std::string place(const toml::node& value) const;

  const std::string_view text_;
  const std::string path_, folder_;
  const Options& base_;
  FleetFile file_;
  Diagnostics wrong_;
  int replicas_ = 0;  // of the worker being read; 0: it is one, of its own name
  std::map<std::string, toml::source_region> depends_at_, listens_at_;
};

void FleetReader::complain(const toml::source_region& where, std::string message, std::string help) {
  const auto at = [this](const toml::source_position& position) {
    std::size_t offset = 0;
    for (std::uint32_t line = 1; line < position.line; ++line) {
      const std::size_t end = text_.find('\n', offset);
      if (end == std::string_view::npos) return text_.size();
      offset = end + 1;
    }
    for (std::uint32_t column = 1; column < position.column && offset < text_.size(); ++column)
      offset += std::max<std::size_t>(decode_utf8(text_, offset).size, 1);
    return std::min(offset, text_.size());
  };
  const std::size_t from = at(where.begin);
  const std::size_t line_end = std::min(text_.find('\n', from), text_.size());
  const std::size_t to = where.end.line == where.begin.line ? std::max(at(where.end), from) : line_end;
  Diagnostic d = diagnostic_at(text_, where.begin.line, text_.substr(from, std::min(to, line_end) - from));
  d.message = std::move(message);
  d.help = std::move(help);
  wrong_.push_back(std::move(d));
}

std::string FleetReader::absolute(const std::string& path) const {
  return (std::filesystem::path(folder_) / path).lexically_normal().string();
}

std::string FleetReader::place(const toml::node& value) const {
  return name_of(path_) + ":" + std::to_string(value.source().begin.line);
}

tl::expected<FleetFile, Diagnostics> FleetReader::read() {
  if (const std::size_t bad = find_invalid_utf8(text_); bad != std::string_view::npos)
    return tl::unexpected(Diagnostics{diagnostic_of_file("byte " + std::to_string(bad) + " is not UTF-8")});
  const toml::parse_result parsed = toml::parse(text_, path_);
  if (!parsed) {
    complain(parsed.error().source(), escape_control(parsed.error().description()));
    return tl::unexpected(std::move(wrong_));
  }
  file_.supervisor = base_;
  read_top(parsed.table());
  if (wrong_.empty() && file_.workers.empty())
    wrong_.push_back(diagnostic_of_file("names no worker; [worker.NAME] begins one"));
  if (wrong_.empty()) check_dependencies();
  if (wrong_.empty()) check_addresses();
  std::stable_sort(wrong_.begin(), wrong_.end(),
                   [](const Diagnostic& a, const Diagnostic& b) { return a.line < b.line; });
  if (!wrong_.empty()) return tl::unexpected(std::move(wrong_));
  return std::move(file_);
}

void FleetReader::read_top(const toml::table& root) {
  OptionSetter setter(file_.supervisor);
  for (const auto& [key, value] : root) {
    if (key == "worker" && value.is_table()) continue;
    const FleetKey* known = find_key(fleet_keys(), key.str());
    if (known == nullptr) {
      std::vector<std::string_view> names = key_names(fleet_keys());
      names.push_back("worker");
      const bool of_worker = find_key(worker_keys(), key.str()) != nullptr;
      complain(key.source(), "unknown key " + in_quotes(key.str()),
               of_worker ? "it belongs to a worker: write it below [worker.NAME]" : help_for(key.str(), names));
      continue;
    }
    const auto origin = base_.origins.find(option_of(*known));
    const bool overridden = origin != base_.origins.end() && *origin != "default";
    if (overridden) continue;
    if (auto values = texts(*known, value)) set(setter, file_.supervisor, *known, value, *values);
  }
  const toml::table* workers = root["worker"].as_table();
  if (workers == nullptr) return;
  std::vector<std::pair<std::uint32_t, const toml::key*>> in_file;
  for (const auto& [key, value] : *workers) in_file.emplace_back(key.source().begin.line, &key);
  std::stable_sort(in_file.begin(), in_file.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [line, key] : in_file) {
    const std::string name(key->str());
    const toml::table* table = (*workers)[key->str()].as_table();
    const bool taken = std::find(std::begin(kTakenNames), std::end(kTakenNames), name) != std::end(kTakenNames);
    if (table == nullptr) {
      complain(key->source(), in_quotes(name) + " is no table", "[worker." + name + "] begins a worker");
    } else if (!is_valid_name(name) || taken) {
      complain(key->source(),
               in_quotes(name) + (taken ? " is a name of the supervisor's own" : " is no name of a worker"),
               "1 to 64 letters, digits, '_', '.' or '-'");
    } else {
      read_worker(name, *key, *table);
    }
  }
}

void FleetReader::read_worker(const std::string& name, const toml::key& key, const toml::table& table) {
  FleetWorker worker;
  worker.name = name;
  worker.options = base_;
  Options& o = worker.options;
  o.fleet.clear();
  o.name = name;
  o.again.clear();
  o.control_port.reset();
  o.state_dir = o.runtime_dir = o.pid_file = o.log_file = "";
  o.cwd = folder_;
  const std::size_t before = wrong_.size();
  replicas_ = 0;
  {
    OptionSetter setter(o);
    for (const auto& [name_of_key, value] : table) {
      const FleetKey* known = find_key(worker_keys(), name_of_key.str());
      if (known == nullptr) {
        complain(name_of_key.source(), "unknown key " + in_quotes(name_of_key.str()),
                 help_for(name_of_key.str(), key_names(worker_keys())));
      } else {
        read_key(worker, setter, *known, value);
      }
    }
    if (wrong_.size() == before) {
      const bool none = o.program.empty() && o.command.empty();
      if (Status fit = setter.check(); !fit)
        complain(key.source(), none ? "worker " + in_quotes(name) + " runs nothing" : fit.error().message,
                 none ? "command = [\"python3\", \"app.py\"] or program = \"app.zero\"" : "");
    }
  }
  if (o.poll && !base_.poll && base_.origins.value("watch-interval", "") != "environment")
    o.watch_interval = Milliseconds(1'000);
  if (!o.command.empty() && o.watch.empty() && !o.no_watch && !table.contains("cwd")) choose_watch(o);
  add(worker, key);
}

void FleetReader::add(const FleetWorker& worker, const toml::key& key) {
  for (FleetWorker& one : replicas_of(worker, replicas_)) {
    if (const auto at = depends_at_.find(worker.name); at != depends_at_.end()) depends_at_[one.name] = at->second;
    if (const auto at = listens_at_.find(worker.name); at != listens_at_.end()) listens_at_[one.name] = at->second;
    const bool taken = std::any_of(file_.workers.begin(), file_.workers.end(),
                                   [&](const FleetWorker& other) { return other.name == one.name; });
    if (taken) return complain(key.source(), in_quotes(one.name) + " is already a worker", "replicas have such names");
    if (!is_valid_name(one.name)) return complain(key.source(), in_quotes(one.name) + " is too long for a name");
    file_.workers.push_back(std::move(one));
  }
}

void FleetReader::read_replicas(const toml::node& value) {
  const auto* number = value.as_integer();
  const bool fits = number != nullptr && number->get() >= 1 && number->get() <= kMostReplicas;
  if (fits) {
    replicas_ = static_cast<int>(number->get());
    return;
  }
  complain(value.source(), "'replicas' is a number from 1 to " + std::to_string(kMostReplicas));
}

// Workers that share the file's folder are not to be restarted by each other's files.
void FleetReader::choose_watch(Options& options) const {
  options.watch = files_named_by({"", options.command, options.cwd, ""});
  options.no_watch = options.watch.empty();
}

void FleetReader::read_key(FleetWorker& worker, OptionSetter& setter, const FleetKey& key, const toml::node& value) {
  Options& o = worker.options;
  if (key.kind == KeyKind::Variables) return read_variables(o, value);
  if (key.kind == KeyKind::Limits) return read_limits(o, value);
  if (key.kind == KeyKind::Count) return read_replicas(value);
  auto values = texts(key, value, key.kind == KeyKind::Command);
  if (!values) return;
  if (key.kind == KeyKind::Command) {
    if (values->empty() || values->front().empty()) return complain(value.source(), "an empty command");
    o.command = std::move(*values);
    o.origins["command"] = place(value);
  } else if (key.kind == KeyKind::Workers) {
    worker.depends_on = std::move(*values);
    depends_at_[worker.name] = value.source();
  } else {
    if (key.kind == KeyKind::Addresses) listens_at_[worker.name] = value.source();
    set(setter, o, key, value, *values);
  }
}

// The values of a key as the command line would have them; complains by itself.
std::optional<std::vector<std::string>> FleetReader::texts(const FleetKey& key, const toml::node& value,
                                                           bool list_only) {
  const KeyKind kind = key.kind;
  const std::string name(key.name);
  if (kind == KeyKind::Flag) {
    const auto* flag = value.as_boolean();
    if (flag != nullptr) return flag->get() ? std::vector<std::string>() : std::vector<std::string>{"false"};
    complain(value.source(), in_quotes(name) + " is true or false");
    return std::nullopt;
  }
  const bool several = kind == KeyKind::Texts || kind == KeyKind::Paths || kind == KeyKind::Addresses ||
                       kind == KeyKind::Workers || kind == KeyKind::Command;
  const bool number = kind == KeyKind::Value || kind == KeyKind::Addresses;
  const auto fits = [&](const toml::node& one) { return one.is_string() || (number && as_typed(one)); };
  std::vector<std::string> values;
  const auto take = [&](const toml::node& one) {
    std::string text = *as_typed(one);
    if (kind == KeyKind::Path || kind == KeyKind::Paths) text = absolute(text);
    const std::size_t unix_at = text.find("unix:");
    if (kind == KeyKind::Addresses && unix_at != std::string::npos && text.size() > unix_at + 5)
      text = text.substr(0, unix_at + 5) + absolute(text.substr(unix_at + 5));
    values.push_back(std::move(text));
  };
  if (const auto* array = value.as_array(); several && array != nullptr) {
    for (const toml::node& one : *array) {
      if (fits(one)) {
        take(one);
        continue;
      }
      complain(one.source(), "expected text");
      return std::nullopt;
    }
    return values;
  }
  if (!list_only && fits(value)) {
    take(value);
    return values;
  }
  const std::string expected = list_only ? "a list of words: [\"python3\", \"app.py\"]"
                               : several ? "text, or a list of texts"
                               : number  ? "text or a number"
                                         : "text";
  complain(value.source(), in_quotes(name) + " is " + expected);
  return std::nullopt;
}

void FleetReader::set(OptionSetter& setter, Options& options, const FleetKey& key, const toml::node& value,
                      const std::vector<std::string>& values) {
  if (values == std::vector<std::string>{"false"} && key.kind == KeyKind::Flag) return;
  if (values.empty() && key.kind != KeyKind::Flag) return;
  const std::string option = option_of(key);
  if (Status set = setter.set(option, values); !set)
    return complain(value.source(), std::string(key.name) + ": " + set.error().message);
  options.origins[option] = place(value);
}

void FleetReader::read_variables(Options& options, const toml::node& value) {
  const toml::table* table = value.as_table();
  if (table == nullptr) return complain(value.source(), "'env' is a table: { NAME = \"value\" }");
  for (const auto& [key, one] : *table) {
    const std::string name(key.str());
    const auto text = as_typed(one);
    if (name.empty() || name.find('=') != std::string::npos || name.find('\0') != std::string::npos) {
      complain(key.source(), in_quotes(name) + " is no name of a variable");
    } else if (!text || text->find('\0') != std::string::npos) {
      complain(one.source(), "expected text or a number");
    } else {
      options.env.push_back(name + "=" + *text);
    }
  }
  options.origins["env"] = place(value);
}

void FleetReader::read_limits(Options& options, const toml::node& value) {
  const toml::table* table = value.as_table();
  if (table == nullptr) return complain(value.source(), "'limits' is a table: { nofile = 1024, memory = \"2GB\" }");
  std::vector<std::string_view> names;
  for (const LimitName& limit : limit_names()) names.push_back(limit.name);
  for (const auto& [key, one] : *table) {
    const auto known = std::find(names.begin(), names.end(), key.str());
    if (known == names.end()) {
      const std::string help = help_for(key.str(), names);
      complain(key.source(), "unknown limit " + in_quotes(key.str()),
               help.empty() ? "there are " + all_limit_names() : help);
      continue;
    }
    const auto text = as_typed(one);
    const auto size = parse_limit_value(text.value_or("-"));
    if (!size) {
      complain(one.source(), size.error().message);
      continue;
    }
    options.limits.emplace_back(limit_names()[static_cast<std::size_t>(known - names.begin())].resource, *size);
  }
  options.origins["limits"] = place(value);
}

void FleetReader::check_dependencies() {
  std::vector<std::string_view> names;
  Dependencies dependencies;
  depend_on_each(file_.workers);
  for (const FleetWorker& worker : file_.workers) {
    names.push_back(worker.name);
    dependencies[worker.name] = worker.depends_on;
  }
  for (const FleetWorker& worker : file_.workers) {
    for (const std::string& on : worker.depends_on) {
      if (std::find(names.begin(), names.end(), on) == names.end())
        complain(depends_at_[worker.name], "no worker " + in_quotes(on), help_for(on, names));
    }
  }
  const std::vector<std::string> cycle = find_cycle(dependencies);
  if (cycle.empty()) return;
  std::string told = cycle.front();
  for (std::size_t i = 1; i < cycle.size(); ++i) told += " depends on " + cycle[i];
  complain(depends_at_[cycle.front()], "a cycle: " + told, "none of them could ever start");
}

void FleetReader::check_addresses() {
  std::map<std::string, std::string> taken;
  for (const FleetWorker& worker : file_.workers) {
    const std::string& whose = worker.group.empty() ? worker.name : worker.group;  // replicas share theirs
    for (const std::string& text : worker.options.listen) {
      const auto address = parse_listen_address(text);
      if (!address || address->text.ends_with(":0")) continue;
      const auto [other, is_new] = taken.emplace(address->text, whose);
      if (!is_new && (worker.group.empty() || other->second != whose))
        complain(listens_at_[worker.name],
                 address->text + " is listened on by worker " + in_quotes(other->second) + " already");
    }
  }
}

}  // namespace

tl::expected<FleetFile, Diagnostics> parse_fleet_file(std::string_view text, const std::string& path,
                                                      const Options& base) {
  return FleetReader(text, path, base).read();
}

}  // namespace zeroth
