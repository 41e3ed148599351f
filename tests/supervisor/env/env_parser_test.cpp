#include "supervisor/env/env_parser.h"

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "supervisor/env/variables.h"

namespace zeroth {
namespace {

EnvMap variables_in(std::string_view text) {
  const auto entries = parse_env(text);
  REQUIRE_MESSAGE(entries, "refused: ", entries ? "" : render_text("env", entries.error()));
  EnvMap all;
  for (const EnvEntry& entry : *entries) all[entry.name] = entry.value;
  return all;
}

Diagnostics mistakes_in(std::string_view text) {
  const auto entries = parse_env(text);
  REQUIRE_FALSE(entries);
  return entries.error();
}

std::string shown_mistakes(std::string_view text) {
  return render_text(".env", mistakes_in(text));
}

}  // namespace

TEST_CASE("env file: names and values, blank lines and comments") {
  CHECK(variables_in("") == EnvMap());
  CHECK(variables_in("\n  \n\t# nothing = here\n#A=1\n") == EnvMap());
  CHECK(variables_in("A=1\nB_2=two words\n_C=") == EnvMap{{"A", "1"}, {"B_2", "two words"}, {"_C", ""}});
  CHECK(variables_in("  A = 1  \n\tB\t=\t2\t\n") == EnvMap{{"A", "1"}, {"B", "2"}});
  CHECK(variables_in("A=1 # one\nB=#two\nC=a#b\nD= # none\nE=x\t#y") ==
        EnvMap{{"A", "1"}, {"B", "#two"}, {"C", "a#b"}, {"D", ""}, {"E", "x"}});
  CHECK(variables_in("A=b=c==\n") == EnvMap{{"A", "b=c=="}});
  CHECK(variables_in("A=it's\nB=say \"so\"\n") == EnvMap{{"A", "it's"}, {"B", "say \"so\""}});
}

TEST_CASE("env file: export in front of a name means nothing, and may be a name itself") {
  CHECK(variables_in("export A=1\nexport\tB = 2\n  export   C=3\n") == EnvMap{{"A", "1"}, {"B", "2"}, {"C", "3"}});
  CHECK(variables_in("export=1\nexported=2\n") == EnvMap{{"export", "1"}, {"exported", "2"}});
  CHECK(variables_in("export = 1\n") == EnvMap{{"export", "1"}});
}

TEST_CASE("env file: nothing is substituted, in no kind of quotes") {
  const EnvMap all = variables_in("A=$HOME\nB='${HOME}'\nC=\"$(id) `id` $A\"\nD=\"\\$A\"\nE=~/x\n");
  CHECK(all == EnvMap{{"A", "$HOME"}, {"B", "${HOME}"}, {"C", "$(id) `id` $A"}, {"D", "$A"}, {"E", "~/x"}});
}

TEST_CASE("env file: quotes keep what is in them; a backslash means something in double ones only") {
  CHECK(variables_in("A='  a # b  '\nB=\"  a # b  \"\nC=''\nD=\"\"\n") ==
        EnvMap{{"A", "  a # b  "}, {"B", "  a # b  "}, {"C", ""}, {"D", ""}});
  CHECK(variables_in("A=\"\\n\\r\\t\\\"\\\\\\$\"\n") == EnvMap{{"A", "\n\r\t\"\\$"}});
  CHECK(variables_in("A='\\n'\nB=a\\nb\nC=\"C:\\windows\\x\"\n") ==
        EnvMap{{"A", "\\n"}, {"B", "a\\nb"}, {"C", "C:\\windows\\x"}});
  CHECK(variables_in("A='say \"so\"' # c\nB=\"it's\"\t# c\nC='x'   \n") ==
        EnvMap{{"A", "say \"so\""}, {"B", "it's"}, {"C", "x"}});
}

TEST_CASE("env file: a quoted value may go on over lines") {
  CHECK(variables_in("KEY=\"one\ntwo\n\nthree\"\nB=1\n") == EnvMap{{"KEY", "one\ntwo\n\nthree"}, {"B", "1"}});
  CHECK(variables_in("KEY='one\r\ntwo'\r\nB=1\r\n") == EnvMap{{"KEY", "one\ntwo"}, {"B", "1"}});
  const auto entries = parse_env("A='x\ny'\nB=1");
  REQUIRE(entries);
  CHECK((*entries)[0].line == 1);
  CHECK((*entries)[1].line == 3);
}

TEST_CASE("env file: CRLF, a mark in front, a last line without an end, and other bytes than ASCII") {
  CHECK(variables_in("A=1\r\nB='2'\r\n\r\n# c\r\nC=3") == EnvMap{{"A", "1"}, {"B", "2"}, {"C", "3"}});
  CHECK(variables_in("\xef\xbb\xbf"
                     "A=1") == EnvMap{{"A", "1"}});
  CHECK(variables_in("A=Grüße, 世界\n") == EnvMap{{"A", "Grüße, 世界"}});
  CHECK(variables_in("A=a\rb\n") == EnvMap{{"A", "a\rb"}});
}

TEST_CASE("env file: of two with one name the later counts") {
  CHECK(variables_in("A=1\nA=2\n") == EnvMap{{"A", "2"}});
}

TEST_CASE("env file: each mistake has its line and column") {
  struct Case {
    std::string_view text;
    std::uint32_t line;
    std::size_t column;
    std::string_view says;
  };
  const Case cases[] = {
      {"A=1\nNAME\n", 2, 5, "'=' is missing"},
      {"NAME VALUE=1\n", 1, 6, "'=' is missing"},
      {"  1A=x\n", 1, 3, "no name begins here"},
      {"=x\n", 1, 1, "no name begins here"},
      {"A-B=x\n", 1, 2, "no part of a name"},
      {"A.B=x\n", 1, 2, "no part of a name"},
      {"export A\n", 1, 9, "'=' is missing"},
      {"export \n", 1, 8, "a name is missing"},
      {"A=1\n\nB=\"x\n", 3, 3, "never closed"},
      {"B='x", 1, 3, "never closed"},
      {"A=\"x\" y\n", 1, 7, "text follows the closing quote"},
      {"A='x'y\n", 1, 6, "text follows the closing quote"},
      {"A='x'#y\n", 1, 6, "text follows the closing quote"},
      {"A=\"x\nB=\"y\"\n", 1, 3, "on line 2, text follows"},
      {"Ä=1\n", 1, 1, "no name begins here"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.text);
    const Diagnostics all = mistakes_in(one.text);
    CHECK(all[0].line == one.line);
    CHECK(all[0].column == one.column);
    CHECK(all[0].message.find(one.says) != std::string::npos);
  }
}

TEST_CASE("env file: all mistakes are told, up to twenty") {
  const Diagnostics two = mistakes_in("A=1\nB\nC=2\nD E=3\n");
  REQUIRE(two.size() == 2);
  CHECK(two[0].line == 2);
  CHECK(two[1].line == 4);
  std::string many;
  for (int i = 0; i < 100; ++i) many += "B\n";
  CHECK(mistakes_in(many).size() == 20);
}

TEST_CASE("env file: the caret stands below the place, and no value is shown") {
  CHECK(shown_mistakes("A=1\nPASSWORD=\"hunter2\n") ==
        ".env:2:10: error: this quote is never closed\n"
        "    PASSWORD=\"*******\n"
        "             ^\n");
  CHECK(shown_mistakes("PASSWORD='hunter' 2\n").find("hunter") == std::string::npos);
  CHECK(shown_mistakes("A=\"x\nSECRET=\"y\"\n").find("SECRET") == std::string::npos);  // part of a value, perhaps
  CHECK(shown_mistakes("export c2VjcmV0IGtleQ\n").find("c2Vj") == std::string::npos);
  CHECK(shown_mistakes("MIIE/AIBAAKCAQEAvRTRlN3jd73kfhMIIEpAIBAAKCAQEAvRTRlN3jd73k==\n").find("MIIE") ==
        std::string::npos);
  CHECK(shown_mistakes("DATABASE_URL\n").find("    DATABASE_URL\n") != std::string::npos);
  CHECK(shown_mistakes("A-B=secret\n").find("    A-B=******\n") != std::string::npos);
}

TEST_CASE("env file: what no process can be given is refused with its place") {
  const Diagnostics nul = mistakes_in(std::string_view("A=1\nB=x\0y\n", 10));
  CHECK(nul[0].line == 2);
  CHECK(nul[0].column == 4);
  const Diagnostics bytes = mistakes_in("A=1\nB=x\xff\n");
  CHECK(bytes[0].line == 2);
  CHECK(bytes[0].column == 4);
  const std::string longest(kMaxVariable - 2, 'x');
  CHECK(variables_in("A=" + longest)["A"].size() == longest.size());
  CHECK(mistakes_in("A=" + longest + "x")[0].message.find("131,071") != std::string::npos);
}

TEST_CASE("env file: any bytes are taken or refused, and every place lies within the text") {
  std::string text = "A=\"x\\n\" # c\nexport B='y\nz'\r\nC=\n";
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const char c : {'"', '\'', '\n', '\r', '=', '#', '\\', '\0', '\xc3', ' '}) {
      std::string other = text;
      other[i] = c;
      const auto entries = parse_env(other);
      if (entries) continue;
      for (const Diagnostic& d : entries.error()) {
        CHECK(d.line >= 1);
        CHECK(d.line <= 5);
        CHECK(d.column >= 1);
        CHECK(!d.message.empty());
      }
    }
  }
}

}  // namespace zeroth
