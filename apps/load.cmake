# The load generator and its report, for the client and the benchmarks.
add_library(kernel_load STATIC
  ${CMAKE_CURRENT_LIST_DIR}/histogram.c
  ${CMAKE_CURRENT_LIST_DIR}/load.c
  ${CMAKE_CURRENT_LIST_DIR}/load_connection.c
  ${CMAKE_CURRENT_LIST_DIR}/load_report.c)
target_include_directories(kernel_load PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(kernel_load PUBLIC kernel PRIVATE kernel_flags)
