#include "adapters/postgres/row_sets.hpp"

#include <algorithm>
#include <set>

#include <libpq-fe.h>

#include "adapters/postgres/connection.hpp"
#include "adapters/postgres/copy_in.hpp"

namespace antipode::postgres {
namespace {

/// Below it a pipeline of single statements is as fast, and waits for the server less often.
constexpr size_t many = 24;
constexpr size_t copy_chunk_bytes = 256 * 1024;
constexpr const char* doing = "applying rows";

bool is_truncation(const RowOperation& operation) {
    return operation.kind == RowOperation::Kind::Truncate;
}

/// {"a","b",NULL}
std::string array_of(const std::vector<const NetChanges::Row*>& rows, size_t column) {
    std::string array = "{";
    for (const NetChanges::Row* row : rows) {
        const Field& field = (*row)[column];
        if (array.size() > 1) {
            array += ',';
        }
        if (field.kind != Field::Kind::Text) {
            array += "NULL";
            continue;
        }
        array += '"';
        for (const char c : field.text) {
            if (c == '"' || c == '\\') {
                array += '\\';
            }
            array += c;
        }
        array += '"';
    }
    return array += '}';
}

/// One field in COPY's text format.
void add_copied(std::string& line, const Field& field) {
    if (field.kind != Field::Kind::Text) {
        line += "\\N";
        return;
    }
    for (const char c : field.text) {
        switch (c) {
            case '\\':
                line += "\\\\";
                break;
            case '\n':
                line += "\\n";
                break;
            case '\r':
                line += "\\r";
                break;
            case '\t':
                line += "\\t";
                break;
            default:
                line += c;
        }
    }
}

std::string lines_of(const std::vector<const NetChanges::Row*>& rows,
                     const TargetTable::Statement& copy) {
    std::string lines;
    for (const NetChanges::Row* row : rows) {
        for (size_t i = 0; i < copy.parameters.size(); ++i) {
            if (i > 0) {
                lines += '\t';
            }
            add_copied(lines, (*row)[copy.parameters[i].column]);
        }
        lines += '\n';
    }
    return lines;
}

}  // namespace

uint32_t RowSets::add(TargetTable table) {
    return pipeline_.add(std::move(table));
}

RowSets::Batch RowSets::prepare(std::span<const RowOperation> operations) const {
    Batch batch;
    batch.operations_ = operations;
    if (std::none_of(operations.begin(), operations.end(), is_truncation) &&
        go_in_sets(operations)) {
        batch.shares_ = shares(operations);
    }
    return batch;
}

std::optional<RowProblem> RowSets::run(const Batch& batch) {
    const std::span<const RowOperation> operations = batch.operations_;
    if (batch.shares_) {
        return run_many(operations, *batch.shares_);
    }
    size_t done = 0;
    while (done < operations.size()) {
        const auto rest = operations.subspan(done);
        const auto truncation = std::find_if(rest.begin(), rest.end(), is_truncation);
        const auto rows = static_cast<size_t>(truncation - rest.begin());
        const size_t count = rows == 0 ? 1 : rows;
        auto problem = run_rows(rest.first(count));
        if (problem) {
            problem->index += done;
            return problem;
        }
        done += count;
    }
    return std::nullopt;
}

std::optional<RowProblem> RowSets::run_rows(std::span<const RowOperation> operations) {
    if (!go_in_sets(operations)) {
        return pipeline_.run(operations);
    }
    const auto tables = shares(operations);
    return tables ? run_many(operations, *tables) : run_few(operations);
}

bool RowSets::go_in_sets(std::span<const RowOperation> operations) const {
    return operations.size() >= many || scan_tables(operations);
}

/// Whether several of them, one by one, would each have to look at a whole table.
bool RowSets::scan_tables(std::span<const RowOperation> operations) const {
    const auto scans = [&](const RowOperation& operation) {
        const bool finds = operation.kind == RowOperation::Kind::Update ||
                           operation.kind == RowOperation::Kind::Delete;
        return finds && pipeline_.table(operation.relation).is_scanned();
    };
    return std::count_if(operations.begin(), operations.end(), scans) > 1;
}

std::optional<RowProblem> RowSets::run_many(std::span<const RowOperation> operations,
                                            const Shares& shares) {
    connection_.execute(doing, "SAVEPOINT many_rows");
    if (try_sets(operations, shares)) {
        connection_.execute(doing, "RELEASE SAVEPOINT many_rows");
        return std::nullopt;
    }
    connection_.execute(doing, "ROLLBACK TO SAVEPOINT many_rows; RELEASE SAVEPOINT many_rows");
    return run_few(operations);
}

std::optional<RowProblem> RowSets::run_few(std::span<const RowOperation> operations) {
    return scan_tables(operations) ? run_halves(operations) : pipeline_.run(operations);
}

std::optional<RowProblem> RowSets::run_halves(std::span<const RowOperation> operations) {
    const size_t half = operations.size() / 2;
    if (auto problem = run_rows(operations.first(half))) {
        return problem;
    }
    auto problem = run_rows(operations.subspan(half));
    if (problem) {
        problem->index += half;
    }
    return problem;
}

bool RowSets::try_sets(std::span<const RowOperation> operations, const Shares& shares) {
    try {
        for (const auto& [relation, share] : shares) {
            if (!share.singly && !write(share)) {
                return false;
            }
        }
    } catch (const SqlError& error) {
        if (error.reaction() == Reaction::Retry) {
            throw;
        }
        return false;
    }
    // No table's rows depend on another's: neither foreign keys nor triggers fire here.
    return !pipeline_.run(operations, [&](const RowOperation& operation) {
        return shares.at(operation.relation).singly;
    });
}

std::optional<RowSets::Shares> RowSets::shares(std::span<const RowOperation> operations) const {
    Shares shares;
    std::set<std::string> oids;
    for (const RowOperation& operation : operations) {
        auto found = shares.find(operation.relation);
        if (found == shares.end()) {
            const TargetTable& table = pipeline_.table(operation.relation);
            if (!oids.insert(table.oid()).second) {
                return std::nullopt;
            }
            found = shares.emplace(operation.relation, Share{NetChanges(table.key())}).first;
            if (table.is_bag()) {
                found->second.changes.emplace<RowBag>();
            }
        }
        Share& share = found->second;
        share.singly = share.singly || !share.add(operation);
    }
    for (auto& [relation, share] : shares) {
        if (!share.singly && !share.finish(pipeline_.table(relation))) {
            return std::nullopt;
        }
    }
    return shares;
}

bool RowSets::Share::add(const RowOperation& operation) {
    return std::visit([&](auto& net) { return net.add(operation); }, changes);
}

/// False: there is no statement for it.
bool RowSets::Share::finish(const TargetTable& table) {
    NetChanges::Result net = std::visit([](const auto& all) { return all.result(); }, changes);
    const auto call = [&](const TargetTable::Statement& statement,
                          const std::vector<const Row*>& rows, std::string settings) {
        Call& made = calls.emplace_back(Call{statement.sql, {}, rows.size(), std::move(settings)});
        for (const TargetTable::Parameter& parameter : statement.parameters) {
            made.arrays.push_back(array_of(rows, parameter.column));
        }
    };
    if (!net.removed.empty() && table.is_bag()) {
        call(table.remove_copies(), net.removed, table.scans_settings());
    } else if (!net.removed.empty()) {
        call(table.remove_many(), net.removed, {});
    }
    for (const auto& [mask, rows] : net.updated) {
        std::vector<bool> unchanged;
        for (const char c : mask) {
            unchanged.push_back(c == 'u');
        }
        const auto statement = table.update_many(unchanged);
        if (!statement) {
            return false;
        }
        call(*statement, rows, {});
    }
    if (!net.inserted.empty()) {
        const TargetTable::Statement statement = table.copy();
        copy = {statement.sql, lines_of(net.inserted, statement), net.inserted.size()};
        return !statement.parameters.empty();
    }
    return true;
}

bool RowSets::write(const Share& share) {
    return std::all_of(share.calls.begin(), share.calls.end(),
                       [this](const Call& call) { return run_call(call); }) &&
           (share.copy.rows == 0 || run_copy(share.copy));
}

bool RowSets::run_call(const Call& call) {
    std::vector<const char*> values;
    for (const std::string& array : call.arrays) {
        values.push_back(array.c_str());
    }
    if (!call.settings.empty()) {
        connection_.execute(doing, call.settings);
    }
    Rows::Result result(PQexecParams(connection_.raw(), call.sql.c_str(),
                                     static_cast<int>(values.size()), nullptr, values.data(),
                                     nullptr, nullptr, 0));
    if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
        connection_.fail(doing, result.get());
    }
    if (!call.settings.empty()) {
        connection_.execute(doing, TargetTable::unscans_settings);
    }
    return Rows(std::move(result)).affected() == call.rows;
}

bool RowSets::run_copy(const Copy& copy) {
    CopyIn into(connection_, doing, copy.sql);
    for (std::string_view rest = copy.lines; !rest.empty();
         rest.remove_prefix(std::min(rest.size(), copy_chunk_bytes))) {
        into.write(rest.substr(0, copy_chunk_bytes));
    }
    return into.finish() == copy.rows;
}

}  // namespace antipode::postgres
