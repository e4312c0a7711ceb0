#include "adapters/postgres/row_pipeline.hpp"

#include <libpq-fe.h>

#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {
namespace {

constexpr size_t window_statements = 128;
constexpr size_t window_most_bytes = 256 * 1024;
/// Statements are kept per table, kind and set of unchanged columns; a wild mixture starts over.
constexpr size_t statements_most = 1000;
constexpr size_t no_value = SIZE_MAX;

const Field& field_of(const RowOperation& operation, const TargetTable::Parameter& parameter) {
    return (parameter.of_old ? operation.old_row : operation.new_row)[parameter.column];
}

std::string message_of(const PGresult* result) {
    const char* text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char* detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    return std::string(text == nullptr ? "unknown error" : text) +
           (detail == nullptr ? "" : std::string(" (") + detail + ")");
}

}  // namespace

uint32_t RowPipeline::add(TargetTable table) {
    tables_.push_back(std::move(table));
    return static_cast<uint32_t>(tables_.size() - 1);
}

std::optional<RowProblem> RowPipeline::run(std::span<const RowOperation> operations,
                                           const Wanted& wanted) {
    problem_.reset();
    if (statements_.size() > statements_most) {
        connection_.execute("forgetting statements", "DEALLOCATE ALL");
        statements_.clear();
    }
    check(PQenterPipelineMode(connection_.raw()));
    for (size_t i = 0; i < operations.size() && !problem_; ++i) {
        if (wanted(operations[i])) {
            send(i, operations[i]);
        }
        if (window_.size() >= window_statements || window_bytes_ >= window_most_bytes) {
            finish_window();
        }
    }
    finish_window();
    check(PQexitPipelineMode(connection_.raw()));
    return problem_;
}

void RowPipeline::send(size_t index, const RowOperation& operation) {
    if (operation.kind == RowOperation::Kind::Truncate) {
        send_truncate(operation);
        window_.push_back({index, false});
        return;
    }
    send_prepared(prepared(index, operation), operation);
    window_.push_back({index, true});
}

void RowPipeline::send_truncate(const RowOperation& operation) {
    std::string names;
    for (const uint32_t relation : operation.truncated) {
        names += (names.empty() ? "" : ", ") + tables_.at(relation).truncate_name();
    }
    const std::string sql =
        "TRUNCATE TABLE " + names + (operation.restart_identity ? " RESTART IDENTITY" : "");
    check(PQsendQueryParams(connection_.raw(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr,
                            0));
}

const RowPipeline::Prepared& RowPipeline::prepared(size_t index, const RowOperation& operation) {
    key_ = std::to_string(operation.relation);
    key_ += static_cast<char>('a' + static_cast<int>(operation.kind));
    if (operation.kind == RowOperation::Kind::Update) {
        key_ += operation.has_old ? '1' : '0';
        for (const Field& field : operation.new_row) {
            key_ += field.kind == Field::Kind::Unchanged ? 'u' : '.';
        }
    }
    const auto found = statements_.find(key_);
    if (found != statements_.end()) {
        return found->second;
    }
    const TargetTable& table = tables_.at(operation.relation);
    Prepared fresh{"row" + std::to_string(next_name_++), {}};
    switch (operation.kind) {
        case RowOperation::Kind::Insert:
            fresh.statement = table.insert();
            break;
        case RowOperation::Kind::Update: {
            std::vector<bool> unchanged;
            for (const Field& field : operation.new_row) {
                unchanged.push_back(field.kind == Field::Kind::Unchanged);
            }
            fresh.statement = table.update(operation.has_old, unchanged);
            break;
        }
        case RowOperation::Kind::Delete:
        case RowOperation::Kind::Truncate:
            fresh.statement = table.remove();
            break;
    }
    check(PQsendPrepare(connection_.raw(), fresh.name.c_str(), fresh.statement.sql.c_str(), 0,
                        nullptr));
    window_.push_back({index, false});
    return statements_.emplace(key_, std::move(fresh)).first->second;
}

void RowPipeline::send_prepared(const Prepared& prepared, const RowOperation& operation) {
    // libpq wants each value to end with a NUL, which the event's bytes do not have.
    values_.clear();
    offsets_.clear();
    for (const TargetTable::Parameter& parameter : prepared.statement.parameters) {
        const Field& field = field_of(operation, parameter);
        if (field.kind == Field::Kind::Text) {
            offsets_.push_back(values_.size());
            values_ += field.text;
            values_ += '\0';
        } else {
            offsets_.push_back(no_value);
        }
    }
    pointers_.clear();
    for (const size_t offset : offsets_) {
        pointers_.push_back(offset == no_value ? nullptr : values_.data() + offset);
    }
    check(PQsendQueryPrepared(connection_.raw(), prepared.name.c_str(),
                              static_cast<int>(pointers_.size()), pointers_.data(), nullptr,
                              nullptr, 0));
    window_bytes_ += values_.size();
}

void RowPipeline::finish_window() {
    check(PQpipelineSync(connection_.raw()));
    for (const Expected& expected : window_) {
        take_result(expected);
    }
    window_.clear();
    window_bytes_ = 0;
    const Rows::Result sync(PQgetResult(connection_.raw()));
    if (PQresultStatus(sync.get()) != PGRES_PIPELINE_SYNC) {
        connection_.fail("applying rows", sync.get());
    }
}

void RowPipeline::take_result(const Expected& expected) {
    const Rows::Result result(PQgetResult(connection_.raw()));
    const ExecStatusType status = PQresultStatus(result.get());
    if (!result || PQstatus(connection_.raw()) != CONNECTION_OK) {
        connection_.fail("applying rows", result.get());
    }
    if (status == PGRES_FATAL_ERROR) {
        const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
        if (reaction_to(state == nullptr ? "" : state) == Reaction::Retry) {
            connection_.fail("applying rows", result.get());
        }
        if (!problem_) {
            problem_ = {expected.operation, RowProblem::Kind::Refused, message_of(result.get())};
        }
    } else if (status != PGRES_PIPELINE_ABORTED && expected.counted && !problem_) {
        const std::string_view affected = PQcmdTuples(result.get());
        if (affected != "1") {
            problem_ = {expected.operation, RowProblem::Kind::NotFound,
                        std::string(affected) + " rows have this identity"};
        }
    }
    // Each statement's results end with a null.
    const Rows::Result end(PQgetResult(connection_.raw()));
}

void RowPipeline::check(int sent) {
    if (sent != 1) {
        connection_.fail("applying rows");
    }
}

}  // namespace antipode::postgres
