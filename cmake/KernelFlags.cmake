# Compiler settings that every target of the project shares, as one interface target.
add_library(kernel_flags INTERFACE)
target_compile_features(kernel_flags INTERFACE c_std_11)
target_compile_options(kernel_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C>:-std=gnu11>
  -Wall -Wextra -Wpointer-arith -Wcast-align -Wundef -Wvla
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
  -fno-omit-frame-pointer)
target_compile_definitions(kernel_flags INTERFACE _GNU_SOURCE)
if(KN_SANITIZE)
  target_compile_options(kernel_flags INTERFACE -fsanitize=${KN_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(kernel_flags INTERFACE -fsanitize=${KN_SANITIZE})
endif()
option(KN_WARNINGS_AS_ERRORS "Fail the build on a warning" OFF)
if(KN_WARNINGS_AS_ERRORS)
  target_compile_options(kernel_flags INTERFACE -Werror)
endif()
