# Writes a copy of one source, with the bugs that a list of them plants into it:
#
#   cmake -D TOP=... -D SOURCE=secondary/relay.cpp -D OUTPUT=relay.cpp
#     -D BUGS=bugs.cmake -P plant.cmake
file(READ "${TOP}/${SOURCE}" text)

function(plant bug source before after)
  if(NOT source STREQUAL SOURCE)
    return()
  endif()
  string(FIND "${text}" "${before}" first)
  string(FIND "${text}" "${before}" last REVERSE)
  if(first EQUAL -1 OR NOT first EQUAL last)
    message(FATAL_ERROR "${SOURCE} has changed where ${bug} is planted: it is not once there:\n"
      "${before}\nTry: plant the same mistake into the code as it is now (${BUGS})")
  endif()
  string(REPLACE "PLANTED" "planted::is(\"${bug}\")" after "${after}")
  string(REPLACE "${before}" "${after}" text "${text}")
  set(text "${text}" PARENT_SCOPE)
endfunction()

include("${CMAKE_CURRENT_LIST_DIR}/${BUGS}")
file(WRITE "${OUTPUT}"
  "#include \"tests/planted/planted.hpp\"\n#line 1 \"${TOP}/${SOURCE}\"\n${text}")
