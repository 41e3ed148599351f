#include "supervisor/ctl/invocation.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>

#include "common/json_reader.h"
#include "common/text.h"

namespace zeroth {
namespace {

// Where CLI11 puts one value; read by its kind after parsing.
struct Slot {
  const Verb* verb;
  std::string_view param;
  std::string_view shown;
  Kind kind;
  CLI::Option* option;
  std::string text;
  std::vector<std::string> texts = {};
};

Result<Json> typed(const Slot& slot) {
  const std::string& text = slot.text;
  const char* end = text.data() + text.size();
  const std::string wrong = std::string(slot.shown) + ": '" + escape_control(text) + "' is no ";
  if (slot.kind == Kind::Count) {
    std::int64_t number = 0;
    const auto [at, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || at != end) return fail(wrong + "whole number");
    return Json(number);
  }
  if (slot.kind == Kind::Real) {
    double number = 0;
    const auto [at, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || at != end || !std::isfinite(number)) return fail(wrong + "number");
    return Json(number);
  }
  if (slot.kind == Kind::Flag) return Json(true);
  if (slot.kind == Kind::Texts) {
    for (const std::string& one : slot.texts) {
      if (find_invalid_utf8(one) != std::string::npos)
        return fail(std::string(slot.shown) + ": '" + escape_control(one) + "' is no UTF-8 text");
    }
    return Json(slot.texts);
  }
  if (find_invalid_utf8(text) != std::string::npos) return fail(wrong + "UTF-8 text");
  if (slot.kind != Kind::Path) return Json(text);
  if (text.empty()) return fail(wrong + "path");
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(text, error);
  if (error) return fail(std::string(slot.shown) + ": " + error.message());
  return Json(absolute.string());
}

// "limit=3" becomes a number, "who=me" a string.
Result<Json> key_values(const std::vector<std::string>& words) {
  Json params = Json::object();
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return fail("'" + escape_control(word) + "': expected key=value for a worker's command");
    }
    const std::string value = word.substr(equals + 1);
    auto json = parse_json(value);
    if (!json && find_invalid_utf8(word) != std::string::npos)
      return fail("'" + escape_control(word) + "' is no UTF-8 text");
    params[word.substr(0, equals)] = json ? std::move(json->value) : Json(value);
  }
  return params;
}

void declare(CLI::App& app, std::vector<std::unique_ptr<Slot>>& slots, const Verb& verb) {
  CLI::App* sub =
      app.add_subcommand(std::string(verb.name))->fallthrough(!verb.raw_words)->prefix_command(verb.raw_words);
  sub->set_help_flag();
  std::string with_underscores(verb.name);
  std::replace(with_underscores.begin(), with_underscores.end(), '-', '_');
  if (with_underscores != verb.name) sub->alias(with_underscores);
  for (const Word& word : verb.words) {
    Slot& slot =
        *slots.emplace_back(std::make_unique<Slot>(Slot{&verb, word.param, word.shown, word.kind, nullptr, {}}));
    slot.option = sub->add_option(std::string(word.param), slot.text)->required(word.shown[0] != '[');
  }
  for (const Switch& option : verb.switches) {
    const std::string_view shown = option.names.substr(option.names.find("--"));
    Slot& slot =
        *slots.emplace_back(std::make_unique<Slot>(Slot{&verb, option.param, shown, option.kind, nullptr, {}}));
    const std::string names(option.names);
    if (option.kind == Kind::Flag) {
      slot.option = sub->add_flag(names);
    } else if (option.kind == Kind::Texts) {
      slot.option = sub->add_option(names, slot.texts)->allow_extra_args(false);
    } else {
      slot.option = sub->add_option(names, slot.text);
    }
  }
}

Error unexpected(const std::string& word, const Verb& verb) {
  if (word.size() < 2 || word[0] != '-') return {0, "unexpected word '" + escape_control(word) + "'"};
  std::vector<std::string_view> known = {"--json", "--timeout", "--name", "--help", "--version"};
  for (const Switch& option : verb.switches) known.push_back(option.names.substr(option.names.find("--")));
  const std::string option = word.substr(0, word.find('='));
  const std::string_view meant = nearest(option, known);
  return {0, "unknown option '" + escape_control(option) + "'" +
                 (meant.empty() ? "" : ", did you mean '" + std::string(meant) + "'?")};
}

bool valid_name(std::string_view name) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  return name.size() <= 64 && name.find_first_not_of(kAllowed) == std::string_view::npos && name != "." && name != "..";
}

Result<Invocation> collect(const CLI::App& app, const std::vector<std::unique_ptr<Slot>>& slots, Invocation call) {
  const auto subs = app.get_subcommands();
  call.verb = subs.empty() ? nullptr : find_verb(subs[0]->get_name());
  std::vector<std::string> rest = app.remaining();
  if (call.verb == nullptr) {
    if (rest.empty()) return fail("which verb? See zerothctl help");
    call.word = rest[0];
    if (call.word[0] == '-') return fail(unexpected(call.word, *find_verb("ping")));
    rest.erase(rest.begin());
    call.words = rest;
    if (is_not_built(call.word)) return call;
    auto params = key_values(rest);
    if (!params) return fail(params.error());
    call.params = std::move(*params);
    return call;
  }
  call.word = call.verb->name;
  call.words = subs[0]->remaining();
  if (call.verb->raw_words) return call;
  rest.insert(rest.end(), call.words.begin(), call.words.end());
  if (!rest.empty()) return fail(unexpected(rest[0], *call.verb));
  for (const auto& slot : slots) {
    if (slot->verb != call.verb || slot->option->count() == 0) continue;
    auto value = typed(*slot);
    if (!value) return fail(value.error());
    call.params[std::string(slot->param)] = std::move(*value);
  }
  return call;
}

}  // namespace

Result<Invocation> read_invocation(int argc, const char* const* argv) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras()->require_subcommand(0, 1);
  Invocation call;
  std::string name;
  double timeout = 0;
  bool help = false, version = false;
  app.add_option("-n,--name", name);
  app.add_flag("--json", call.json);
  CLI::Option* limited = app.add_option("--timeout", timeout)->check(CLI::Range(0.001, 1e6));
  app.add_flag("-h,--help", help);
  app.add_flag("--version", version);
  std::vector<std::unique_ptr<Slot>> slots;
  for (const Verb& verb : verbs()) declare(app, slots, verb);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (!help) return fail(escape_control(error.what()));
  }
  if (!name.empty() && !valid_name(name)) return fail("-n: '" + escape_control(name) + "' is no name of an instance");
  call.name = name;
  if (limited->count() != 0) call.timeout = Milliseconds(static_cast<std::int64_t>(timeout * 1'000));
  const auto subs = app.get_subcommands();
  if (help) {
    call.verb = find_verb("help");
    if (!subs.empty()) call.params["verb"] = subs[0]->get_name();
    return call;
  }
  if (version && subs.empty()) {
    call.verb = find_verb("version");
    return call;
  }
  return collect(app, slots, std::move(call));
}

}  // namespace zeroth
