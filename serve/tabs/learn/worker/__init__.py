"""The child process that trains: python -m serve.tabs.learn.worker

Only this package of the tab imports torch and the experiments; the page starts it as a process.
"""
