# What `cmake --install` puts where, and the package files that let others find it.
include(CMakePackageConfigHelpers)

install(TARGETS kernel EXPORT kernel-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/kernel ${PROJECT_BINARY_DIR}/include/kernel
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT kernel-targets NAMESPACE kernel:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/kernel)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/kernelConfig.cmake.in ${PROJECT_BINARY_DIR}/kernelConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/kernel)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/kernelConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/kernelConfig.cmake ${PROJECT_BINARY_DIR}/kernelConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/kernel)

configure_file(${CMAKE_CURRENT_LIST_DIR}/kernel.pc.in ${PROJECT_BINARY_DIR}/kernel.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/kernel.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(KN_BUILD_PROGRAMS)
  foreach(program server client console kernel-topology kernel-top)
    install(FILES ${PROJECT_SOURCE_DIR}/docs/man/${program}.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES ${PROJECT_SOURCE_DIR}/completions/kernel.bash RENAME ${program}
      DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  endforeach()
  install(FILES ${PROJECT_SOURCE_DIR}/examples/placement.conf DESTINATION ${CMAKE_INSTALL_DOCDIR})
endif()
