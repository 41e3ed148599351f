// Member: its env files, what is told of them, and who else gave its worker variables.

#include <utility>

#include "common/json_fields.h"
#include "common/text.h"
#include "supervisor/fleet/member.h"

namespace zeroth {
namespace {

constexpr const char* kHiddenValue = "***";  // its length is nobody's business either

Json to_json(const EnvFiles::Wrong& wrong) {
  return {{"file", wrong.file},
          {"message", wrong.message},
          {"diagnostics", wrong.diagnostics},
          {"at", rfc3339(wrong.at)},
          {"since_s", std::chrono::duration<double>(monotonic_now() - wrong.since).count()}};
}

Json variable_entry(const std::string& name, const std::string& origin) {
  return {{"name", escape_control(name)}, {"value", kHiddenValue}, {"origin", origin}};
}

}  // namespace

tl::expected<void, StartError> Member::open_env(std::shared_ptr<InotifyHub> inotify) {
  EnvFiles::Settings settings;
  settings.inotify = std::move(inotify);
  settings.paths = options_.env_files;
  settings.quiet = options_.debounce;
  settings.poll = options_.poll;
  settings.poll_interval = options_.watch_interval;
  env_files_ = std::make_unique<EnvFiles>(loop_, std::move(settings), env_hooks());
  return env_files_->read();
}

EnvFiles::Hooks Member::env_hooks() {
  EnvFiles::Hooks hooks;
  hooks.on_change = [this](const std::vector<std::string>& files, MonotonicTime began) {
    worker_->take_env({files, began, {}});
  };
  hooks.on_wrong = [this] { tell_env_wrong(); };
  hooks.on_right = [this](const std::string& after) {
    on_event_("env", {{"worker", name_}, {"how", "files"}, {"verdict", "ok"}, {"repaired", true}, {"after", after}});
  };
  hooks.on_note = [this](std::string_view level, const std::string& message) {
    on_event_("log", {{"worker", name_}, {"level", level}, {"message", message}});
  };
  return hooks;
}

// Not with --no-watch, unless the fleet file only meant that there is nothing else to watch.
bool Member::watches_env() const {
  return !options_.no_watch || field_or<std::string>(options_.origins, "no-watch", "default") == "default";
}

void Member::tell_env_wrong() {
  const EnvFiles::Wrong& wrong = *env_files_->wrong();
  on_event_("env", {{"worker", name_},
                    {"how", "files"},
                    {"verdict", "rejected"},
                    {"reason", wrong.message},
                    {"files", Json::array({wrong.file})},
                    {"diagnostics", wrong.diagnostics}});
}

void Member::reload_env(Worker::Reply done) {
  env_files_->read_again([this, done = std::move(done), began = monotonic_now()] {
    const auto& wrong = env_files_->wrong();
    if (!wrong) return worker_->take_env({{}, began, done});
    Receipt receipt;
    receipt.operation = "reload";
    receipt.worker = name_;
    receipt.cause = "env";
    receipt.changed = {wrong->file};
    receipt.verdict = "rejected";
    receipt.reason = wrong->message;
    receipt.diagnostics = wrong->diagnostics;
    done(zeroth::to_json(receipt));
  });
}

Json Member::env_status() const {
  return {{"files", env_files_->paths()},
          {"variables", worker_->own_env().size()},
          {"pending", names_of(worker_->env_pending())},
          {"wrong", env_files_->wrong() ? to_json(*env_files_->wrong()) : Json()}};
}

Json Member::environment() const {
  const std::string given = field_or<std::string>(options_.origins, "env", "flag");
  Json variables = Json::array();
  const EnvMap own = worker_->own_env();
  for (const auto& [name, value] : own) {
    bool overridden = false;
    for (const std::string& assignment : options_.env) overridden = overridden || assignment.starts_with(name + "=");
    variables.push_back(variable_entry(name, overridden ? given : env_files_->origin_of(name)));
  }
  for (const auto& [name, value] : inherited_variables()) {
    if (!own.contains(name)) variables.push_back(variable_entry(name, "inherited"));
  }
  Json described = env_status();
  described["worker"] = name_;
  described["total"] = variables.size();
  described["variables"] = std::move(variables);
  return described;
}

}  // namespace zeroth
