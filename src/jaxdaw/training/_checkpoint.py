Checkpointer = load_tree = save_tree = None  # interim
