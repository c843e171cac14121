# Cross-compiles for aarch64 against the sysroot that deploy/arm64_sysroot.sh makes, and runs tests under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)

if(NOT DEFINED POTLUCK_ARM64_SYSROOT)
  if(DEFINED ENV{POTLUCK_ARM64_SYSROOT})
    set(POTLUCK_ARM64_SYSROOT $ENV{POTLUCK_ARM64_SYSROOT})
  else()
    set(POTLUCK_ARM64_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../build/arm64-sysroot)
  endif()
  get_filename_component(POTLUCK_ARM64_SYSROOT ${POTLUCK_ARM64_SYSROOT} ABSOLUTE)
endif()
if(NOT EXISTS ${POTLUCK_ARM64_SYSROOT}/complete)
  message(FATAL_ERROR "There is no sysroot in ${POTLUCK_ARM64_SYSROOT}: run deploy/arm64_sysroot.sh first")
endif()
# CMake configures its compiler checks as projects of their own: they need the same place.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES POTLUCK_ARM64_SYSROOT)

set(CMAKE_SYSROOT ${POTLUCK_ARM64_SYSROOT})
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH ${POTLUCK_ARM64_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# pkg-config must look into the sysroot, and prefix what it finds there.
set(ENV{PKG_CONFIG_PATH} "")
set(ENV{PKG_CONFIG_LIBDIR} ${POTLUCK_ARM64_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${POTLUCK_ARM64_SYSROOT}/usr/share/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${POTLUCK_ARM64_SYSROOT})

find_program(POTLUCK_QEMU NAMES qemu-aarch64 qemu-aarch64-static REQUIRED)
set(CMAKE_CROSSCOMPILING_EMULATOR ${POTLUCK_QEMU};-L;${POTLUCK_ARM64_SYSROOT})
