#include "adapters/postgres/script_order.hpp"

#include <gtest/gtest.h>

namespace antipode::postgres {
namespace {

TEST(ScriptOrder, PutsSchemasAndTheirRightsFirstAndLeavesOutCommentsOnExtensions) {
    const std::string schema = "--\n-- Name: s; Type: SCHEMA; Schema: -; Owner: o\n--\nA;\n";
    const std::string extension = "--\n-- Name: x; Type: EXTENSION; Schema: -; Owner: -\n--\nB;\n";
    const std::string comment =
        "--\n-- Name: EXTENSION x; Type: COMMENT; Schema: -; Owner: \n--\nC;\n";
    const std::string table = "--\n-- Name: t; Type: TABLE; Schema: s; Owner: o\n--\nD;\n";
    const std::string table_comment =
        "--\n-- Name: TABLE t; Type: COMMENT; Schema: s; Owner: o\n--\nE;\n";
    const std::string rights = "--\n-- Name: SCHEMA s; Type: ACL; Schema: -; Owner: o\n--\nF;\n";
    const std::string table_rights =
        "--\n-- Name: TABLE t; Type: ACL; Schema: s; Owner: o\n--\nG;\n";
    EXPECT_EQ(for_unprivileged("SET a;\n" + schema + extension + comment + table + table_comment +
                               table_rights + rights),
              "SET a;\n" + schema + rights + extension + table + table_comment + table_rights);
    EXPECT_EQ(for_unprivileged("SELECT '-- Name: t; Type: X';"), "SELECT '-- Name: t; Type: X';");
    EXPECT_EQ(for_unprivileged(""), "");
}

}  // namespace
}  // namespace antipode::postgres
