#include "supervisor/ctl/output.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "common/display_width.h"
#include "common/json_fields.h"
#include "common/terminal_style.h"
#include "common/text.h"

namespace zeroth {
namespace {

bool coloured() {
  static const bool wanted = colours_wanted(STDOUT_FILENO);
  return wanted;
}

std::string_view code_of(Colour colour) {
  switch (colour) {
    case Colour::Plain:
      return "0";
    case Colour::Bold:
      return "1";
    case Colour::Red:
      return "31";
    case Colour::Green:
      return "32";
    case Colour::Yellow:
      return "33";
  }
  return "0";
}

std::string padded(std::string_view text, std::size_t columns) {
  return std::string(text) + std::string(columns - std::min(columns, display_width(text)), ' ');
}

const Json* find_path(const Json& row, std::string_view path) {
  const std::size_t dot = path.find('.');
  const Json* found = find_member(row, path.substr(0, dot));
  return found == nullptr || dot == std::string_view::npos ? found : find_path(*found, path.substr(dot + 1));
}

std::string without_trailing_blanks(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

}  // namespace

std::string paint(std::string_view text, Colour colour) {
  if (!coloured() || colour == Colour::Plain) return std::string(text);
  return "\x1b[" + std::string(code_of(colour)) + "m" + std::string(text) + "\x1b[0m";
}

Json member_of(const Json& object, std::string_view name) {
  const Json* found = find_member(object, name);
  return found != nullptr ? *found : Json();
}

std::string show(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return escape_control(value.get_ref<const std::string&>());
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  return escape_control(dump(value));
}

std::string show(const Json& object, std::string_view member) {
  const Json* found = find_member(object, member);
  return found == nullptr ? "-" : show(*found);
}

std::string field(std::string_view label, std::string_view value) {
  return padded(label, 20) + "  " + std::string(value) + "\n";
}

std::string fields(const Json& object) {
  if (!object.is_object()) return show(object) + "\n";
  std::string text;
  for (const auto& [name, value] : object.items()) text += field(escape_control(name), show(value));
  return text;
}

std::string table(const Json& rows, std::span<const Column> columns) {
  std::vector<std::vector<std::string>> cells(1);
  for (const Column& column : columns) cells[0].emplace_back(column.title);
  if (rows.is_array()) {
    for (const Json& row : rows) {
      std::vector<std::string>& line = cells.emplace_back();
      for (const Column& column : columns) {
        const Json* value = find_path(row, column.member);
        line.push_back(value == nullptr ? "-" : show(*value));
      }
    }
  }
  std::string text;
  for (const auto& line : cells) {
    std::string out;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      std::size_t widest = 0;
      for (const auto& other : cells) widest = std::max(widest, display_width(other[i]));
      out += padded(line[i], widest + 2);
    }
    text += without_trailing_blanks(std::move(out));
  }
  return text;
}

bool print(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

void complain(std::string_view text) {
  std::fprintf(stderr, "zerothctl: %.*s\n", static_cast<int>(text.size()), text.data());
}

}  // namespace zeroth
