#include "secondary/database/comparing_copy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode::secondary {
namespace {

using testing::HasSubstr;

TEST(SchemaTexts, AreEqualBarCommentsAndBlankLines) {
    EXPECT_EQ(difference_of_schemas("-- Dumped by 15.4\n\nCREATE TABLE t (\n    id int\n);\n",
                                    "CREATE TABLE t (\n    id int\n);\n\n-- done\n"),
              "");
    EXPECT_EQ(difference_of_schemas("ALTER TABLE ONLY t REPLICA IDENTITY FULL;\n", ""), "");
    EXPECT_EQ(difference_of_schemas("DO 'BEGIN REFRESH; END';\n", ""), "");
}

TEST(SchemaTexts, NameTheFirstStatementThatDiffers) {
    EXPECT_THAT(
        difference_of_schemas("CREATE TABLE t (\n    id int,\n    v text\n);",
                              "CREATE TABLE t (\n    id int\n);"),
        HasSubstr("the primary has \"CREATE TABLE t (     id int,     v text ); \", this site "
                  "\"CREATE TABLE t (     id int ); \""));
    EXPECT_THAT(difference_of_schemas("a;\nb;", "a;"), HasSubstr("this site nothing more"));
    EXPECT_THAT(difference_of_schemas("a;", "a;\nb;"), HasSubstr("this site \"b; \""));
}

}  // namespace
}  // namespace antipode::secondary
