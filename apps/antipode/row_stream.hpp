#pragma once

#include <optional>
#include <ostream>
#include <streambuf>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "apps/antipode/output.hpp"

namespace antipode::cli {

enum class RowFormat { JsonLines, Csv };

/// Takes what a command prints under `-o json`, a document a line, and passes its rows on: one JSON
/// object a line, or CSV (RFC 4180) with the names of the first document's fields above. Rows are
/// the elements of what the document lists (its sites, stores, items, ...); of one that lists
/// nothing, the document itself. Values are those of the JSON: units stand in names, and what is
/// unknown is null, or empty. Lists and objects within a row are JSON text in CSV.
///
/// One thread. What is no JSON passes as it is.
class RowStream final : public std::streambuf {
  public:
    RowStream(std::ostream& out, RowFormat format) : out_(out), format_(format) {}
    ~RowStream() override;
    RowStream(const RowStream&) = delete;
    RowStream& operator=(const RowStream&) = delete;

  protected:
    int overflow(int byte) override;
    int sync() override;

  private:
    void take(const std::string& line);
    void print_head(const nlohmann::ordered_json& rows);
    void print(const nlohmann::ordered_json& row);

    std::ostream& out_;
    const RowFormat format_;
    std::string line_;
    std::vector<std::string> columns_;  ///< of CSV, once they are known
};

/// While it is there, what a command prints to `out` goes through a RowStream when `format` wants
/// rows.
class Rows {
  public:
    Rows(Format format, std::ostream& out);
    ~Rows();
    Rows(const Rows&) = delete;
    Rows& operator=(const Rows&) = delete;

  private:
    std::ostream& out_;
    std::streambuf* const before_;
    std::ostream behind_;  ///< what `out_` was
    std::optional<RowStream> rows_;
};

/// What `document` lists, and from what field; "" and the document itself when nothing.
std::string_view listed_in(const nlohmann::ordered_json& document);

}  // namespace antipode::cli
