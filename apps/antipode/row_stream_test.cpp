#include "apps/antipode/row_stream.hpp"

#include <sstream>

#include <gtest/gtest.h>

namespace antipode::cli {
namespace {

std::string rows_of(const std::string& text, RowFormat format) {
    std::ostringstream out;
    {
        RowStream rows(out, format);
        std::ostream stream(&rows);
        stream << text;
    }
    return out.str();
}

constexpr const char* sites = R"({"schema":"antipode.sites/1","cluster":"c","sites":[)"
                              R"({"site":"london","epoch":7,"problem":""},)"
                              R"({"site":"syd,ney","epoch":null,"problem":"a \"b\"\nc"}]})"
                              "\n";

TEST(RowStream, EachRowIsALineOfJson) {
    EXPECT_EQ(rows_of(sites, RowFormat::JsonLines),
              "{\"site\":\"london\",\"epoch\":7,\"problem\":\"\"}\n"
              "{\"site\":\"syd,ney\",\"epoch\":null,\"problem\":\"a \\\"b\\\"\\nc\"}\n");
}

TEST(RowStream, CsvQuotesWhatItMustAndLeavesEmptyWhatIsUnknown) {
    EXPECT_EQ(rows_of(sites, RowFormat::Csv),
              "site,epoch,problem\r\nlondon,7,\r\n\"syd,ney\",,\"a \"\"b\"\"\nc\"\r\n");
}

TEST(RowStream, CsvIsHarmlessInTerminalsAndSpreadsheets) {
    EXPECT_EQ(rows_of(R"({"items":[{"item":"=1+1","n":-5},{"item":"a\u001b[2Jb\u009bc\rd","n":0}]})"
                      "\n",
                      RowFormat::Csv),
              "item,n\r\n'=1+1,-5\r\na?[2Jb?c?d,0\r\n");
}

TEST(RowStream, ColumnsAreThoseOfAllRows) {
    EXPECT_EQ(
        rows_of("{\"stores\":[{\"store\":\"a\",\"check\":1},{\"store\":\"b\",\"items\":2}]}\n",
                RowFormat::Csv),
        "store,check,items\r\na,1,\r\nb,,2\r\n");
}

TEST(RowStream, WhatAnswersOfEachStoreListAreTheRows) {
    EXPECT_EQ(
        rows_of(R"({"schema":"antipode.items/1","site":"sydney","stores":[)"
                R"({"schema":"antipode.items/1","store":"a","next":"6f","items":[{"item":"o"}]},)"
                R"({"schema":"antipode.items/1","store":"b","items":[{"item":"p"}]}]})"
                "\n",
                RowFormat::Csv),
        "store,item\r\na,o\r\nb,p\r\n");
}

TEST(RowStream, OfSeveralListsItIsTheOneOfTheTable) {
    const std::string status =
        R"({"schema":"antipode.status/1","workers":[{"a":1}],"sites":[{"site":"x","lag":[1,2]}]})"
        "\n";
    EXPECT_EQ(rows_of(status, RowFormat::JsonLines), "{\"site\":\"x\",\"lag\":[1,2]}\n");
    EXPECT_EQ(rows_of(status, RowFormat::Csv), "site,lag\r\nx,\"[1,2]\"\r\n");
}

TEST(RowStream, WhatListsNothingIsOneRowAndLinesThatFollowHaveTheFirstOnesColumns) {
    EXPECT_EQ(rows_of("{\"a\":1,\"b\":\"x\"}\n{\"b\":\"y\",\"c\":2}", RowFormat::Csv),
              "a,b\r\n1,x\r\n,y\r\n");
    EXPECT_EQ(
        rows_of("{\"schema\":\"antipode.version/1\",\"version\":\"1\"}\n", RowFormat::JsonLines),
        "{\"schema\":\"antipode.version/1\",\"version\":\"1\"}\n");
    EXPECT_EQ(rows_of("no JSON\n", RowFormat::Csv), "no JSON\n");
    EXPECT_EQ(rows_of("{\"schema\":\"antipode.failures/1\",\"total\":0,\"failures\":[]}\n",
                      RowFormat::Csv),
              "");
}

}  // namespace
}  // namespace antipode::cli
