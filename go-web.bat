@echo off
rem Starts the program by double-click; the first time it makes the Python environment .venv beside this file.
rem   go-web.bat convert INPUT OUTPUT    convert a recording or a folder
rem   go-web.bat train --help            train a voice
rem --gpu or --cpu, given first, chooses the build of torch instead of looking at the machine.
rem No parenthesised blocks and no delayed expansion: the folder's name may hold ( ) and !
setlocal EnableExtensions DisableDelayedExpansion
chcp 65001 >nul
set "PYTHONPATH=%~dp0"
set "PYTHONSAFEPATH=1"
set "PYTHONUTF8=1"
set "CHECK=import sys; sys.exit(not sys.version_info[:2] in ((3, 11), (3, 12)))"

"%~dp0.venv\Scripts\python.exe" -c "%CHECK%" >nul 2>nul
if not errorlevel 1 goto own
py -3.11 -c "%CHECK%" >nul 2>nul
if not errorlevel 1 goto py311
py -3.12 -c "%CHECK%" >nul 2>nul
if not errorlevel 1 goto py312
python -c "%CHECK%" >nul 2>nul
if not errorlevel 1 goto path

echo Python 3.11 or 3.12 was not found: install it from python.org (64 bit), then start this file again.
set "CODE=3"
goto end

:own
"%~dp0.venv\Scripts\python.exe" -m tools.launch %*
set "CODE=%ERRORLEVEL%"
goto end

:py311
py -3.11 -m tools.launch %*
set "CODE=%ERRORLEVEL%"
goto end

:py312
py -3.12 -m tools.launch %*
set "CODE=%ERRORLEVEL%"
goto end

:path
python -m tools.launch %*
set "CODE=%ERRORLEVEL%"

:end
if "%CODE%"=="0" goto done
rem A double-click has no arguments: keep the window open so that the reason can be read.
if "%~1"=="" pause
:done
exit /b %CODE%
