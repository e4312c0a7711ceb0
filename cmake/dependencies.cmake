# Everything comes from Debian 12 packages (scripts/packages lists them). Each library becomes one
# imported target, linked only by the one module whose job it is to wrap that library.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(Protobuf REQUIRED)
find_package(GTest REQUIRED)
find_package(spdlog REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(SQLiteCpp REQUIRED)
find_package(prometheus-cpp REQUIRED COMPONENTS core)
find_package(Boost 1.81 REQUIRED)

# The cnats CMake package needs a static library that Debian does not ship: pkg-config it is.
pkg_check_modules(nats REQUIRED IMPORTED_TARGET libnats)
pkg_check_modules(curl REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(deflate REQUIRED IMPORTED_TARGET libdeflate)
pkg_check_modules(git2 REQUIRED IMPORTED_TARGET libgit2)
pkg_check_modules(netfilter_queue REQUIRED IMPORTED_TARGET libnetfilter_queue)
pkg_check_modules(pq REQUIRED IMPORTED_TARGET libpq)
pkg_check_modules(pqxx REQUIRED IMPORTED_TARGET libpqxx)
pkg_check_modules(pugixml REQUIRED IMPORTED_TARGET pugixml)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)

# PostgreSQL's own parser; the package has neither a pkg-config nor a CMake file.
find_library(PG_QUERY_LIBRARY pg_query REQUIRED)
find_path(PG_QUERY_HEADERS pg_query.h REQUIRED)
add_library(PgQuery::pg_query UNKNOWN IMPORTED)
set_target_properties(PgQuery::pg_query PROPERTIES
  IMPORTED_LOCATION "${PG_QUERY_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${PG_QUERY_HEADERS}")

# Neither has this one.
find_library(JQ_LIBRARY jq REQUIRED)
add_library(Jq::jq UNKNOWN IMPORTED)
set_target_properties(Jq::jq PROPERTIES IMPORTED_LOCATION "${JQ_LIBRARY}")

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
