# One folder = one module = one target. A module names its sources, what it may include, and the
# foreign libraries that stop at it.
#
#   antipode_module(NAME SOURCES a.cpp b.cpp DEPENDS base protocol FOREIGN PkgConfig::git2
#                   TESTS a_test.cpp)
#
# gives the target antipode_NAME and, from TESTS, the test program NAME_test. INTERFACE_FOREIGN
# names libraries whose headers the module's own headers need (rare: protobuf, spdlog).

set(CMAKE_CXX_FLAGS_DEV "-O1 -g1")
set(CMAKE_C_FLAGS_DEV "-O1 -g1")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g1")
set(ANTIPODE_SANITIZE "" CACHE STRING "Comma-separated sanitizers, for example address,undefined")

add_library(antipode_options INTERFACE)
target_compile_options(antipode_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast
  -Werror -fstack-protector-strong -fstack-clash-protection
  # What gcc 12 guesses at -O2 is worth a look, not a build that fails on a user.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-error=maybe-uninitialized>)
target_compile_definitions(antipode_options INTERFACE
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_HEADER_ONLY=1 $<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
target_link_options(antipode_options INTERFACE -Wl,-z,relro -Wl,-z,now)
target_include_directories(antipode_options INTERFACE ${CMAKE_SOURCE_DIR})
if(ANTIPODE_SANITIZE)
  target_compile_options(antipode_options INTERFACE
    -fsanitize=${ANTIPODE_SANITIZE} -fno-omit-frame-pointer
    # What gcc 12 says of std::regex and of fences is not so.
    "$<$<CXX_COMPILER_ID:GNU>:-Wno-tsan;-Wno-maybe-uninitialized>")
  target_link_options(antipode_options INTERFACE -fsanitize=${ANTIPODE_SANITIZE})
endif()

function(antipode_module name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;FOREIGN;INTERFACE_FOREIGN;TESTS;TEST_DEPENDS"
    ${ARGN})
  set(target antipode_${name})
  list(TRANSFORM arg_DEPENDS PREPEND antipode_)
  list(TRANSFORM arg_TEST_DEPENDS PREPEND antipode_)
  if(arg_SOURCES)
    add_library(${target} STATIC ${arg_SOURCES})
    target_link_libraries(${target}
      PUBLIC ${arg_DEPENDS} ${arg_INTERFACE_FOREIGN}
      PRIVATE antipode_options ${arg_FOREIGN})
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${arg_DEPENDS} ${arg_INTERFACE_FOREIGN})
  endif()
  if(arg_TESTS)
    antipode_test(${name}_test SOURCES ${arg_TESTS} DEPENDS ${name} ${arg_TEST_DEPENDS})
  endif()
endfunction()

# A test program. Unit tests end within seconds; LABELS integration marks those that start servers.
function(antipode_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;DEPENDS;FOREIGN;LABELS" ${ARGN})
  list(TRANSFORM arg_DEPENDS REPLACE "^antipode_" "")
  list(TRANSFORM arg_DEPENDS PREPEND antipode_)
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE antipode_options ${arg_DEPENDS} ${arg_FOREIGN}
    GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()
