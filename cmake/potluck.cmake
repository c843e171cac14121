# The three kinds of targets in this tree, and the flags that all of them share.
#
#   potluck_library(NAME a_b SOURCES ... [DEPS ...])   one library per folder; target potluck_a_b, alias potluck::a_b
#   potluck_test(NAME x_test SOURCES ... [DEPS ...])   a GoogleTest program, registered with CTest
#   potluck_fuzz(NAME x_fuzz SOURCES ... [DEPS ...])   a libFuzzer program (preset `fuzz` only), CTest runs it briefly;
#                                                      the target `fuzzers` builds all of them;
#                                                      a *.dict and a folder corpus/ beside the source are used
#
# Paths in #include are relative to the root of the tree.

option(POTLUCK_TESTS "Build the tests" ON)
option(POTLUCK_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
option(POTLUCK_WERROR "Treat warnings as errors" ON)
set(POTLUCK_SANITIZE "" CACHE STRING "Sanitizers for every target, for example address,undefined")
set(POTLUCK_FUZZ_RUNS 20000 CACHE STRING "Inputs that CTest gives to each fuzz target")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

find_program(POTLUCK_CCACHE ccache)
if(POTLUCK_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${POTLUCK_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${POTLUCK_CCACHE})
endif()

find_package(Threads REQUIRED)
find_package(absl REQUIRED)

add_library(potluck_options INTERFACE)
target_include_directories(potluck_options INTERFACE ${CMAKE_SOURCE_DIR})
# The numerics class cpu-1 forbids the compiler to contract a*b+c on its own.
target_compile_options(potluck_options INTERFACE
  -Wall -Wextra -Wshadow -Wno-missing-field-initializers -ffp-contract=off $<$<BOOL:${POTLUCK_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # GCC 12 sees overlaps in `"literal" + string` that cannot be (its bug 105651).
  target_compile_options(potluck_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
  if(POTLUCK_SANITIZE)
    # In instrumented code it takes variants' other alternatives for values that are read (its bug 105562).
    target_compile_options(potluck_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>)
  endif()
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  target_compile_options(potluck_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wthread-safety>)
endif()
if(POTLUCK_SANITIZE)
  target_compile_options(potluck_options INTERFACE
    -fsanitize=${POTLUCK_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(potluck_options INTERFACE -fsanitize=${POTLUCK_SANITIZE})
endif()
if(POTLUCK_FUZZ)
  target_compile_options(potluck_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

function(potluck_library)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS" ${ARGN})
  add_library(potluck_${ARG_NAME} STATIC ${ARG_SOURCES})
  add_library(potluck::${ARG_NAME} ALIAS potluck_${ARG_NAME})
  target_link_libraries(potluck_${ARG_NAME} PUBLIC potluck_options ${ARG_DEPS})
endfunction()

function(potluck_test)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_link_libraries(${ARG_NAME} PRIVATE potluck_options ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(${ARG_NAME} PRIVATE POTLUCK_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
  # The thread sanitizer and an emulator take ten times as long.
  if(CMAKE_CROSSCOMPILING_EMULATOR OR POTLUCK_SANITIZE STREQUAL "thread")
    set(seconds 1800)
  else()
    set(seconds 600)
  endif()
  set_tests_properties(${ARG_NAME} PROPERTIES TIMEOUT ${seconds})
endfunction()

if(POTLUCK_FUZZ)
  add_custom_target(fuzzers)
endif()

function(potluck_fuzz)
  if(NOT POTLUCK_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_link_libraries(${ARG_NAME} PRIVATE potluck_options ${ARG_DEPS})
  target_link_options(${ARG_NAME} PRIVATE -fsanitize=fuzzer)
  set(inputs)
  file(GLOB dictionary ${CMAKE_CURRENT_SOURCE_DIR}/*.dict)
  if(dictionary)
    list(APPEND inputs -dict=${dictionary})
  endif()
  file(GLOB seeds ${CMAKE_CURRENT_SOURCE_DIR}/corpus/*)
  if(seeds)
    list(JOIN seeds "," seeds)
    list(APPEND inputs -seed_inputs=${seeds})
  endif()
  add_test(NAME ${ARG_NAME}
    COMMAND ${ARG_NAME} ${inputs} -runs=${POTLUCK_FUZZ_RUNS} -seed=1 -timeout=10 -rss_limit_mb=2048)
  set_tests_properties(${ARG_NAME} PROPERTIES TIMEOUT 600 LABELS fuzz)
  add_dependencies(fuzzers ${ARG_NAME})
endfunction()
